using System.Runtime.InteropServices;
using System.Text.Json;
using RepVgg.Formats.Onnx;
using RepVgg.Networks;

namespace Microsoft.ML.RepVgg.Tests.Formats.Onnx;

/// <summary>Leaves networks with their inputs and expected outputs for test/onnxruntime/check.mjs, in the folder that REPVGG_ONNX_CHECK names.</summary>
internal static class OnnxRuntimeFiles
{
    private static readonly string? Folder = Environment.GetEnvironmentVariable("REPVGG_ONNX_CHECK");

    /// <summary>Writes a case, if a folder is named.</summary>
    public static void Write(string name, DeployNetwork network, int count, float[] pixels, float[] expected, double tolerance, OnnxExportOptions? options = null)
    {
        if (string.IsNullOrEmpty(Folder))
            return;
        Directory.CreateDirectory(Folder);
        options ??= new OnnxExportOptions();
        OnnxWriter.Write(network, Path.Combine(Folder, $"{name}.onnx"), options);
        File.WriteAllBytes(Path.Combine(Folder, $"{name}.input.bin"), MemoryMarshal.AsBytes(pixels.AsSpan()));
        File.WriteAllBytes(Path.Combine(Folder, $"{name}.expected.bin"), MemoryMarshal.AsBytes(expected.AsSpan()));
        File.WriteAllText(Path.Combine(Folder, $"{name}.json"), JsonSerializer.Serialize(new
        {
            input = options.InputName,
            output = options.OutputName,
            inputShape = new[] { count, network.Architecture.InputChannels, network.ImageHeight, network.ImageWidth },
            outputShape = options.OmitOutputBatch ? (int[])[.. network.OutputShape] : [count, .. network.OutputShape],
            tolerance,
        }));
    }
}
