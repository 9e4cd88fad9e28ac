using System.Text.Json;
using RepVgg.Architectures;
using RepVgg.Samples.Weights;
using RepVgg.Weights;
using RepVgg.Weights.PyTorch;

namespace RepVgg.Testing;

/// <summary>Outputs of the original PyTorch code; what they are stands in Golden/README.md.</summary>
internal static class GoldenFiles
{
    public static string PathOf(string name) => Path.Combine(AppContext.BaseDirectory, "Golden", name);

    /// <summary>A file of the cases from users' reports.</summary>
    public static string CaseOf(string name) => PathOf(Path.Combine("cases", name));

    public static JsonElement Manifest { get; } = JsonDocument.Parse(File.ReadAllText(PathOf("manifest.json"))).RootElement;

    /// <summary>The data of one block of a form; the geometry is <c>same</c>, <c>down</c> or <c>grouped</c>.</summary>
    public static StateDict Block(TrainingForm form, string geometry)
    {
        string kind = form switch
        {
            TrainingForm.RepVgg => "repvgg",
            TrainingForm.IdentityWithoutNorm => "identity-without-bn",
            _ => throw new ArgumentException($"There is no golden data of the training form {form}.", nameof(form)),
        };
        return PthReader.Read(PathOf(Path.Combine("blocks", $"{kind}-{geometry}.pth")));
    }

    /// <summary>A NumPy array of float32.</summary>
    public static TensorData Floats(string name) => NumpyFile.Read(PathOf(name));

    /// <summary>A NumPy array of int64.</summary>
    public static (int[] Shape, long[] Values) Longs(string name) => NumpyFile.ReadInt64(PathOf(name));
}
