using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>The sample images of MLNet/Images and what other programs read from them.</summary>
internal static class SampleImages
{
    public static string Folder { get; } = Path.Combine(AppContext.BaseDirectory, "MLNet", "Images");

    /// <summary>The names of the image files that begin with a prefix.</summary>
    public static IEnumerable<string> Names(string prefix) =>
        Directory.GetFiles(Folder, prefix + "*").Select(path => Path.GetFileName(path)).Where(name => !name.EndsWith(".rgba")).Order();

    public static string PathOf(string name) => Path.Combine(Folder, name);

    public static byte[] Read(string name) => File.ReadAllBytes(PathOf(name));

    /// <summary>The expected pixels: red, green, blue, alpha, not multiplied by alpha.</summary>
    public static byte[] Expected(string name) => Read(Path.ChangeExtension(name, ".rgba"));

    public static (int Width, int Height) Size(string name) =>
        name.StartsWith("jpeg") ? (35, 27) : name.StartsWith("png") ? (21, 13) : (11, 7);

    /// <summary>The expected pixels as ML.NET holds them: blue, green, red, alpha, multiplied by alpha.</summary>
    public static byte[] ExpectedBgra(string name)
    {
        byte[] pixels = Expected(name);
        for (int i = 0; i < pixels.Length; i += 4)
        {
            int alpha = pixels[i + 3];
            (pixels[i], pixels[i + 2]) = (pixels[i + 2], pixels[i]);
            for (int c = i; c < i + 3; c++)
                pixels[c] = (byte)Math.Round(pixels[c] * alpha / 255.0);
        }
        return pixels;
    }

    /// <summary>The largest difference and the mean one.</summary>
    public static (int Largest, double Mean) Difference(ReadOnlySpan<byte> actual, ReadOnlySpan<byte> expected)
    {
        Assert.Equal(expected.Length, actual.Length);
        int largest = 0;
        long sum = 0;
        for (int i = 0; i < actual.Length; i++)
        {
            int difference = Math.Abs(actual[i] - expected[i]);
            largest = Math.Max(largest, difference);
            sum += difference;
        }
        return (largest, (double)sum / actual.Length);
    }
}
