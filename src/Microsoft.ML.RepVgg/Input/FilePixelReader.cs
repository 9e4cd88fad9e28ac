using System.Buffers;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Runtime.Threading;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads the files of an image column from the column with their paths, instead of the images that LoadImages or LoadRawImageBytes makes of them one after the other.</summary>
/// <remarks>The pixels are the same. For LoadImages the orientation is therefore not applied.</remarks>
/// <param name="input">Description of the image column.</param>
/// <param name="location">Describes the current row in error messages.</param>
/// <param name="folder">Folder of relative paths; null for the current directory.</param>
/// <param name="getter">Gets the path of the current row's file.</param>
/// <param name="applyOrientation">Whether the orientation is applied if <see cref="FeatureInput.Decoding"/> says so.</param>
/// <param name="capacity">Maximum number of images of a batch.</param>
/// <param name="threads">Maximum number of threads that read and decode images; 0 for all cores.</param>
internal sealed class FilePixelReader(FeatureInput input, RowLocation location, string? folder, ValueGetter<ReadOnlyMemory<char>> getter, bool applyOrientation, int capacity, int threads)
    : EncodedPixelReader(input, location, input.Decoding with { ApplyOrientation = applyOrientation && input.Decoding.ApplyOrientation }, capacity, threads)
{
    private readonly string[] _paths = new string[capacity];
    private readonly byte[][] _buffers = [.. Enumerable.Repeat<byte[]>([], ThreadCount.Resolve(threads))];

    public override void Dispose()
    {
        for (int i = 0; i < _buffers.Length; i++)
            Replace(ref _buffers[i], []);
        base.Dispose();
    }

    protected override void ReadRow(int index)
    {
        ReadOnlyMemory<char> path = default;
        getter(ref path);
        if (path.IsEmpty)
            throw Location.Invalid("there is no image");
        _paths[index] = string.IsNullOrWhiteSpace(folder) ? path.ToString() : Path.Combine(folder, path.ToString());
    }

    protected override ReadOnlySpan<byte> Content(int index, int worker)
    {
        try
        {
            return ReadFile(_paths[index], ref _buffers[worker]);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new ImageException(error.Message, error);
        }
    }

    /// <summary>Reads a file into memory that is used again for the next file, because allocating arrays of this size takes time.</summary>
    private static ReadOnlySpan<byte> ReadFile(string path, ref byte[] buffer)
    {
        using var file = File.OpenHandle(path, options: FileOptions.SequentialScan);
        long length = RandomAccess.GetLength(file);
        // Special files have the length 0, but content.
        if (length == 0)
            return File.ReadAllBytes(path);
        if (length > Array.MaxLength)
            throw new IOException($"the file has {length} bytes, more than can be read at once");
        if (buffer.Length < length)
            Replace(ref buffer, ArrayPool<byte>.Shared.Rent((int)length));
        var content = buffer.AsSpan(0, (int)length);
        int filled = 0;
        while (filled < content.Length && RandomAccess.Read(file, content[filled..], filled) is > 0 and var read)
            filled += read;
        return content[..filled];
    }

    private static void Replace(ref byte[] buffer, byte[] replacement)
    {
        if (buffer.Length > 0)
            ArrayPool<byte>.Shared.Return(buffer);
        buffer = replacement;
    }
}
