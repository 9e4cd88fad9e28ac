using System.Text.Json;
using RepVgg.Samples.Weights;
using RepVgg.Weights;

namespace RepVgg.Testing;

/// <summary>Outputs of the original PyTorch code; what they are stands in Golden/README.md.</summary>
internal static class GoldenFiles
{
    public static string PathOf(string name) => Path.Combine(AppContext.BaseDirectory, "Golden", name);

    public static JsonElement Manifest { get; } = JsonDocument.Parse(File.ReadAllText(PathOf("manifest.json"))).RootElement;

    /// <summary>A NumPy array of float32.</summary>
    public static TensorData Floats(string name) => NumpyFile.Read(PathOf(name));

    /// <summary>A NumPy array of int64.</summary>
    public static (int[] Shape, long[] Values) Longs(string name) => NumpyFile.ReadInt64(PathOf(name));
}
