namespace Microsoft.ML.RepVgg.Tests.Images;

/// <summary>The image files in Data, which Pillow wrote (make_images.py).</summary>
internal static class ImageFiles
{
    private static readonly string _folder = System.IO.Path.Combine(AppContext.BaseDirectory, "Images", "Data");

    /// <summary>All files of a format that is read, of a usual size and without an orientation.</summary>
    public static IEnumerable<string> Names =>
        Directory.GetFiles(_folder).Select(path => System.IO.Path.GetFileName(path)).Where(name => !name.Contains("orientation") && name != "i-20000x20000.png" && System.IO.Path.GetExtension(name) is not (".py" or ".tif")).Order();

    public static string Path(string name) => System.IO.Path.Combine(_folder, name);

    public static byte[] Bytes(string name) => File.ReadAllBytes(Path(name));
}
