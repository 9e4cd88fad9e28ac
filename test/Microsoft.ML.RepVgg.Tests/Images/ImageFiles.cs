using System.Buffers.Binary;
using RepVgg.Weights.PyTorch;

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

    /// <summary>A small PNG file whose header says another size.</summary>
    public static byte[] PngOfClaimedSize(int width, int height)
    {
        byte[] bytes = Bytes("colour.png");
        var header = bytes.AsSpan(12, 17);
        BinaryPrimitives.WriteInt32BigEndian(header[4..], width);
        BinaryPrimitives.WriteInt32BigEndian(header[8..], height);
        var checksum = new Crc32();
        checksum.Append(header);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(29), checksum.Value);
        return bytes;
    }
}
