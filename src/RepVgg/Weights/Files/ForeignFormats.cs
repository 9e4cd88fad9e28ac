using System.Text;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Files;

/// <summary>Recognises files that hold no weights that can be read, so that the error names what they are.</summary>
internal static class ForeignFormats
{
    private const string Formats = "Only PyTorch (.pth), safetensors, ONNX, Keras (.h5, .keras) and this library's training checkpoints can be read.";
    private const int TarMagic = 257;

    private static readonly (byte[] Start, string Name, string Advice)[] _known =
    [
        ([0x93, .. "NUMPY"u8], "a NumPy array (.npy)", "Save the weights as .pth or .safetensors."),
        ([0x89, .. "PNG"u8], "a PNG image", Formats),
        ([0xff, 0xd8, 0xff], "a JPEG image", Formats),
        ([.. "GIF8"u8], "a GIF image", Formats),
        ([.. "RIFF"u8], "a RIFF file, such as a WebP image", Formats),
        ([.. "GGUF"u8], "a GGUF file of a language model", Formats),
        ([0x7f, .. "ELF"u8], "a program", Formats),
    ];

    /// <summary>Creates the exception for a file that no reader detected.</summary>
    /// <param name="path">The file.</param>
    /// <param name="start">Its first bytes: 512, or all if the file is shorter.</param>
    /// <param name="length">Its length in bytes.</param>
    public static InvalidDataException Refuse(string path, ReadOnlySpan<byte> start, long length)
    {
        var (name, advice) = Describe(start, length);
        return new InvalidDataException($"'{path}' {name}. {advice}");
    }

    /// <summary>Whether a file has the first bytes of a known format without weights, or of an archive that was not unpacked.</summary>
    public static bool IsKnown(ReadOnlySpan<byte> start)
    {
        foreach (var (known, _, _) in _known)
        {
            if (start.StartsWith(known))
                return true;
        }
        return MisplacedFile.Recognize(start) is not null;
    }

    /// <summary>Whether bytes are the start of a text: printable characters and white space, in ASCII or UTF-8 or with a byte order mark.</summary>
    public static bool IsText(ReadOnlySpan<byte> start)
    {
        if (start.StartsWith((ReadOnlySpan<byte>)[0xff, 0xfe]) || start.StartsWith((ReadOnlySpan<byte>)[0xfe, 0xff]))
            return true;
        foreach (byte value in start)
        {
            if (value is < 0x20 and not ((byte)'\t' or (byte)'\n' or (byte)'\r' or (byte)'\f') or 0x7f)
                return false;
        }
        // A character may be cut off at the end.
        for (int cut = 0; cut < 4 && cut < start.Length; cut++)
        {
            if (System.Text.Unicode.Utf8.IsValid(start[..^cut]))
                return true;
        }
        return false;
    }

    private static (string Name, string Advice) Describe(ReadOnlySpan<byte> start, long length)
    {
        if (length == 0)
            return ("is empty", "Its download or its copy may have failed.");
        if (MisplacedFile.Recognize(start) is { } misplaced)
            return ($"is {misplaced.Name}", misplaced.Advice.Length > 0 ? misplaced.Advice : Formats);
        foreach (var (known, name, advice) in _known)
        {
            if (start.StartsWith(known))
                return ($"is {name}", advice);
        }
        if (start.Length > TarMagic + 5 && start.Slice(TarMagic, 5).SequenceEqual("ustar"u8))
            return DescribeTar(start);
        if (start.Length >= 8 && start.Slice(4, 4).SequenceEqual("TFL3"u8))
            return ("is a TensorFlow Lite model", Formats);
        if (start.StartsWith((ReadOnlySpan<byte>)[8, 1, 0x12]))
            return ("is a TensorFlow SavedModel", "Load it in TensorFlow and save it as .keras, or its weights as .h5.");
        if (IsText(start))
            return DescribeText(start);
        if (start is [0x80, _, ..])
            return ("is not a pickle of a known protocol", "Save torch.save(model.state_dict(), path) and try again.");
        string bytes = Convert.ToHexStringLower(start[..Math.Min(start.Length, 8)]);
        return ($"has an unknown format (first bytes {bytes}, {length} bytes in all), or was cut off", Formats);
    }

    private static (string Name, string Advice) DescribeTar(ReadOnlySpan<byte> start)
    {
        int end = start[..100].IndexOf((byte)0);
        string first = Encoding.UTF8.GetString(start[..(end < 0 ? 100 : end)]);
        return first.TrimStart('.', '/') is "sys_info" or "pickle" or "storages" or "tensors"
            ? ("is a tar file of a PyTorch before 0.2", "Load it with PyTorch and save torch.save(model.state_dict(), path).")
            : ("is a tar archive", "Unpack it and give the path of the file in it.");
    }

    private static (string Name, string Advice) DescribeText(ReadOnlySpan<byte> start)
    {
        string text = MisplacedFile.Text(start);
        if (text.StartsWith('<'))
            return ("is an XML file", Formats);
        if (text.StartsWith('{') || text.StartsWith('['))
            return ("is a JSON file or a similar text", Formats);
        return ("is a text file", Formats);
    }
}
