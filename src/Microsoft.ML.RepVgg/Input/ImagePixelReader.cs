using System.Buffers;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Microsoft.ML.Data;
using RepVgg.Training.Data;
using RepVgg.Inference;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads the bytes of images as planes (CHW): red, green and blue, or red only for a network of one channel.</summary>
/// <remarks>The bytes are those that ML.NET's pixel extractor converts to floats. No byte is a value that is not finite, so none is checked.</remarks>
internal sealed class ImagePixelReader(FeatureInput input, RowLocation location, ValueGetter<MLImage> getter, int capacity) : PixelReader(input, location)
{
    private const int BytesPerPixel = 4;

    // For four pixels in a row, the positions of their first, second and third colours. The alpha values at the end are not used.
    private static readonly Vector128<byte> _rgba = Vector128.Create((byte)0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    private static readonly Vector128<byte> _bgra = Vector128.Create((byte)2, 6, 10, 14, 1, 5, 9, 13, 0, 4, 8, 12, 3, 7, 11, 15);

    // The array is rented because allocating arrays of this size takes as long as scoring a few images.
    private byte[] _batch = ArrayPool<byte>.Shared.Rent(capacity * input.Length);
    private MLImage? _image;

    public override void Read(int index) => ReadPlanes(_batch.AsSpan(index * Input.Length, Input.Length));

    public override void Run(InferenceEngine engine, int count, Span<float> outputs) => engine.Run(_batch.AsSpan(0, count * Input.Length), count, outputs);

    public override void AddTo(SampleCache cache, int label)
    {
        Read(0);
        cache.Add(_batch.AsSpan(0, Input.Length), label, Location.Position);
    }

    public override void Dispose()
    {
        _image?.Dispose();
        _image = null;
        ArrayPool<byte>.Shared.Return(_batch);
        _batch = [];
    }

    private void ReadPlanes(Span<byte> planes)
    {
        // As ML.NET's pixel extractor does, the reader disposes an image when the next one is read. The getter leaves the
        // variable as it is if there is no image, so it must not refer to the image of an earlier row.
        _image?.Dispose();
        _image = null;
        try
        {
            getter(ref _image!);
        }
        catch (Exception error) when (error is not OperationCanceledException && LacksDecoder(error))
        {
            string skia = AppDomain.CurrentDomain.GetAssemblies().FirstOrDefault(assembly => assembly.GetName().Name == "SkiaSharp")?.GetName().Version?.ToString(3) ?? "none";
            throw new NotSupportedException($"ML.NET cannot read images in this application: {InnermostOf(error).Message.TrimEnd('.')}. Its decoder needs SkiaSharp 2.88, with SkiaSharp's native library of the same version; the loaded version is {skia}. Reference SkiaSharp 2.88.9, and no package that needs a later version.", error);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            throw Location.Invalid($"the image cannot be read: {error.Message}", inner: error);
        }
        if (_image is null)
            throw Location.Invalid("there is no image");
        if ((_image.Height, _image.Width) != (Input.Height, Input.Width))
            throw Location.Invalid($"the image has {_image.Width} x {_image.Height} pixels instead of {Input.Width} x {Input.Height}");
        var order = _image.PixelFormat switch
        {
            MLPixelFormat.Rgba32 => _rgba,
            MLPixelFormat.Bgra32 => _bgra,
            _ => throw Location.Invalid($"the pixel format of the image is {_image.PixelFormat}; it must be Rgba32 or Bgra32"),
        };
        if (Input.Channels == 3)
            CopyColours(_image.Pixels, order, planes);
        else
            CopyRed(_image.Pixels, order[0], planes);
    }

    // Scalar equivalent: plane c of pixel i is pixels[4 * i + order[4 * c]]. A vector holds four pixels; the shuffle puts the
    // four values of each colour into one of its 32-bit elements.
    private static void CopyColours(ReadOnlySpan<byte> pixels, Vector128<byte> order, Span<byte> planes)
    {
        int length = pixels.Length / BytesPerPixel;
        Span<byte> red = planes[..length], green = planes.Slice(length, length), blue = planes[(2 * length)..];
        Span<uint> reds = MemoryMarshal.Cast<byte, uint>(red), greens = MemoryMarshal.Cast<byte, uint>(green), blues = MemoryMarshal.Cast<byte, uint>(blue);
        var quads = MemoryMarshal.Cast<byte, Vector128<byte>>(pixels);
        for (int i = 0; i < quads.Length; i++)
        {
            var colours = Vector128.ShuffleNative(quads[i], order).AsUInt32();
            reds[i] = colours[0];
            greens[i] = colours[1];
            blues[i] = colours[2];
        }
        for (int i = 4 * quads.Length; i < length; i++)
        {
            red[i] = pixels[BytesPerPixel * i + order[0]];
            green[i] = pixels[BytesPerPixel * i + order[4]];
            blue[i] = pixels[BytesPerPixel * i + order[8]];
        }
    }

    private static void CopyRed(ReadOnlySpan<byte> pixels, int red, Span<byte> plane)
    {
        for (int i = 0; i < plane.Length; i++)
            plane[i] = pixels[BytesPerPixel * i + red];
    }

    /// <summary>Whether the error is due to SkiaSharp, ML.NET's image decoder, being missing or of another version. The text is checked too, since the user's own columns can throw the same exception types.</summary>
    private static bool LacksDecoder(Exception error) =>
        InnermostOf(error) is MissingMemberException or TypeLoadException or DllNotFoundException or BadImageFormatException
        && error.ToString().Contains("SkiaSharp", StringComparison.Ordinal);

    private static Exception InnermostOf(Exception error) => error.InnerException is { } inner ? InnermostOf(inner) : error;
}
