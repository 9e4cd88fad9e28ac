using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using RepVgg.Formats;

namespace Microsoft.ML.RepVgg.Tests.Support;

/// <summary>Outputs of the original PyTorch code; what they are stands in Golden/README.md.</summary>
internal static class GoldenFiles
{
    public static string PathOf(string name) => Path.Combine(AppContext.BaseDirectory, "Golden", name);

    public static JsonElement Manifest { get; } = JsonDocument.Parse(File.ReadAllText(PathOf("manifest.json"))).RootElement;

    /// <summary>A NumPy array of float32.</summary>
    public static TensorData Floats(string name)
    {
        var (shape, bytes) = ReadNpy(name, "<f4");
        var values = new float[bytes.Length / sizeof(float)];
        Buffer.BlockCopy(bytes, 0, values, 0, bytes.Length);
        return new TensorData(shape, values);
    }

    /// <summary>A NumPy array of int64.</summary>
    public static (int[] Shape, long[] Values) Longs(string name)
    {
        var (shape, bytes) = ReadNpy(name, "<i8");
        var values = new long[bytes.Length / sizeof(long)];
        Buffer.BlockCopy(bytes, 0, values, 0, bytes.Length);
        return (shape, values);
    }

    private static (int[] Shape, byte[] Data) ReadNpy(string name, string type)
    {
        byte[] file = File.ReadAllBytes(PathOf(name));
        int headerLength = BitConverter.ToUInt16(file, 8);
        string header = Encoding.ASCII.GetString(file, 10, headerLength);
        if (!header.Contains($"'{type}'") || header.Contains("'fortran_order': True"))
            throw new InvalidDataException($"{name}: expected C-ordered {type}, header is {header}");
        int[] shape = [.. Regex.Match(header, @"\(([^)]*)\)").Groups[1].Value
            .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(part => int.Parse(part, CultureInfo.InvariantCulture))];
        return (shape, file[(10 + headerLength)..]);
    }
}
