using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

// The smallest program that serves a network with ONNX Runtime: model file in, logits out, as bench/RepVgg.FirstResult.
// Arguments: model, pixels (raw float32 file of one image), threads. Writes the logits as raw float32.
if (args.Length != 3)
{
    Console.Error.WriteLine("usage: RepVgg.FirstResult.OnnxRuntime MODEL.onnx PIXELS THREADS");
    return 2;
}
OrtEnv.Instance().DisableTelemetryEvents();
using var options = new SessionOptions
{
    IntraOpNumThreads = int.Parse(args[2]),
    InterOpNumThreads = 1,
    ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
    GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
};
using var session = new InferenceSession(args[0], options);
float[] pixels = new float[new FileInfo(args[1]).Length / sizeof(float)];
using (var file = File.OpenRead(args[1]))
    file.ReadExactly(MemoryMarshal.AsBytes(pixels.AsSpan()));
int[] dimensions = session.InputMetadata[session.InputNames[0]].Dimensions;
using var images = OrtValue.CreateTensorValueFromMemory(pixels, [1, .. dimensions[1..]]);
using var run = new RunOptions();
using var results = session.Run(run, [session.InputNames[0]], [images], [session.OutputNames[0]]);
using var output = Console.OpenStandardOutput();
output.Write(MemoryMarshal.AsBytes(results[0].GetTensorDataAsSpan<float>()));
using var input = Console.OpenStandardInput();
while (input.ReadByte() >= 0)
{
}
return 0;
