using System.Runtime.InteropServices;
using RepVgg.Inference;

// The smallest program that serves a network: model file in, logits out. The benchmark `start` times it from the start
// of its process and reads its peak memory while it waits for the end of its input.
// Arguments: model, pixels (raw float32 file of one image), threads. Writes the logits as raw float32.
if (args.Length != 3)
{
    Console.Error.WriteLine("usage: RepVgg.FirstResult MODEL.onnx PIXELS THREADS");
    return 2;
}
using var engine = InferenceEngine.Open(args[0], int.Parse(args[2]));
byte[] pixels = File.ReadAllBytes(args[1]);
float[] logits = new float[engine.OutputLength];
engine.Run(MemoryMarshal.Cast<byte, float>(pixels), 1, logits);
using var output = Console.OpenStandardOutput();
output.Write(MemoryMarshal.AsBytes(logits.AsSpan()));
using var input = Console.OpenStandardInput();
while (input.ReadByte() >= 0)
{
}
return 0;
