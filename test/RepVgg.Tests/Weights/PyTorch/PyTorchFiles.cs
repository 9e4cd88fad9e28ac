using System.Runtime.InteropServices;
using System.Text.Json;
using RepVgg.Weights;
using RepVgg.Weights.PyTorch;

namespace RepVgg.Tests.Weights.PyTorch;

/// <summary>Leaves checkpoints with inputs and expected logits for test/pytorch/check.py, in the folder that REPVGG_PYTORCH_CHECK names.</summary>
internal static class PyTorchFiles
{
    private static readonly string? _folder = Environment.GetEnvironmentVariable("REPVGG_PYTORCH_CHECK");

    /// <summary>Writes a case, if a folder is named.</summary>
    public static void Write(string name, StateDict state, TensorData input, TensorData logits)
    {
        if (string.IsNullOrEmpty(_folder))
            return;
        Directory.CreateDirectory(_folder);
        PthWriter.Write(state, Path.Combine(_folder, $"{name}.pth"));
        File.WriteAllBytes(Path.Combine(_folder, $"{name}.input.bin"), MemoryMarshal.AsBytes(input.Values.AsSpan()));
        File.WriteAllBytes(Path.Combine(_folder, $"{name}.expected.bin"), MemoryMarshal.AsBytes(logits.Values.AsSpan()));
        File.WriteAllText(Path.Combine(_folder, $"{name}.json"), JsonSerializer.Serialize(new { inputShape = input.Shape, outputShape = logits.Shape, tolerance = 1e-5 }));
    }
}
