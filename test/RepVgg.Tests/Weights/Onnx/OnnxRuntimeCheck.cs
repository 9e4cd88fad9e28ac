using Microsoft.ML.OnnxRuntime;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tests.Weights.Onnx;

/// <summary>Runs exported networks in ONNX Runtime, with its default options.</summary>
internal static class OnnxRuntimeCheck
{
    /// <summary>Exports a network and checks names, shapes and values of what ONNX Runtime makes of it.</summary>
    /// <param name="network">The network.</param>
    /// <param name="count">Number of images.</param>
    /// <param name="pixels">The images.</param>
    /// <param name="expected">The output for them.</param>
    /// <param name="tolerance">Largest difference, relative to the largest expected magnitude.</param>
    /// <param name="options">How the network is exported.</param>
    public static void Agrees(DeployNetwork network, int count, float[] pixels, float[] expected, double tolerance, OnnxExportOptions? options = null)
    {
        options ??= new OnnxExportOptions();
        using var file = new MemoryStream();
        OnnxWriter.Write(network, file, options);
        using var session = new InferenceSession(file.ToArray());

        // ONNX Runtime reports a free dimension as -1.
        int batch = options.BatchSize ?? -1;
        int[] image = [network.Architecture.InputChannels, network.ImageHeight, network.ImageWidth], output = [.. network.OutputShape];
        AssertTensor(session.InputMetadata, options.InputName, [batch, .. image]);
        AssertTensor(session.OutputMetadata, options.OutputName, options.OmitOutputBatch ? output : [batch, .. output]);

        using var input = OrtValue.CreateTensorValueFromMemory(pixels, [count, .. image]);
        using var run = new RunOptions();
        using var results = session.Run(run, new Dictionary<string, OrtValue> { [options.InputName] = input }, [options.OutputName]);
        long[] shape = options.OmitOutputBatch ? [.. output] : [count, .. output];
        Assert.Equal(shape, results[0].GetTensorTypeAndShape().Shape);
        Compare.Close(expected, results[0].GetTensorDataAsSpan<float>(), tolerance, "ONNX Runtime's output");
    }

    private static void AssertTensor(IReadOnlyDictionary<string, NodeMetadata> values, string name, int[] shape)
    {
        var (actualName, value) = Assert.Single(values);
        Assert.Equal(name, actualName);
        Assert.Equal(typeof(float), value.ElementType);
        Assert.Equal(shape, value.Dimensions);
    }
}
