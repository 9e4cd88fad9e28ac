using Microsoft.ML.Data;
using RepVgg.Testing;

namespace RepVgg.Tool.Tests;

/// <summary>Pictures of classes that are easy to tell apart.</summary>
internal static class Pictures
{
    public const int Size = 16;

    private static readonly string[] _classes = ["blue", "green", "red"];

    /// <summary>Writes a folder with one subfolder of pictures per class, of all classes unless some are given.</summary>
    public static string Folder(TemporaryFolder parent, string name, int perClass, params string[] classes)
    {
        string folder = Directory.CreateDirectory(parent.File(name)).FullName;
        foreach (string label in classes.Length > 0 ? classes : _classes)
        {
            Directory.CreateDirectory(Path.Combine(folder, label));
            for (int i = 0; i < perClass; i++)
                Write(Path.Combine(folder, label, $"{i}.png"), label, i);
        }
        return folder;
    }

    /// <summary>Writes a picture whose strongest colour is that of its class.</summary>
    public static void Write(string path, string label, int seed, int width = Size, int height = Size)
    {
        var random = new Random(seed);
        byte[] pixels = new byte[4 * width * height];
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = (byte)(i % 4 == 3 ? 255 : random.Next(120) + (i % 4 == 2 - Array.IndexOf(_classes, label) ? 120 : 0));
        using var image = MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels);
        image.Save(path);
    }
}
