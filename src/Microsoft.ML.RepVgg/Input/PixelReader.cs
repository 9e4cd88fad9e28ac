using System.Numerics;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Copies one row's pixels out and refuses what no network can use.</summary>
/// <param name="input">What the column holds.</param>
/// <param name="getter">Getter of the pixel column.</param>
internal sealed class PixelReader(FeatureInput input, ValueGetter<VBuffer<float>> getter)
{
    private VBuffer<float> _buffer;

    /// <summary>Reads the current row.</summary>
    /// <param name="row">Its position, for messages.</param>
    /// <param name="pixels">Receives Channels * Height * Width values, CHW.</param>
    /// <exception cref="InvalidOperationException">The image is missing, cannot be read, has the wrong length, or has a value that is not finite.</exception>
    /// <exception cref="NotSupportedException">No image can be read in this application, whatever the row.</exception>
    public void Read(long row, Span<float> pixels)
    {
        try
        {
            getter(ref _buffer);
        }
        catch (Exception error) when (input.Preprocessing is not null && error is not OperationCanceledException && LacksDecoder(error))
        {
            string skia = AppDomain.CurrentDomain.GetAssemblies().FirstOrDefault(assembly => assembly.GetName().Name == "SkiaSharp")?.GetName().Version?.ToString(3) ?? "none";
            throw new NotSupportedException($"ML.NET cannot read images in this application: {InnermostOf(error).Message.TrimEnd('.')}. Its decoder needs SkiaSharp 2.88, with SkiaSharp's native library of the same version; loaded is {skia}. Reference SkiaSharp 2.88.9, and nothing that needs a later one.", error);
        }
        catch (Exception error) when (input.Preprocessing is not null && error is not OperationCanceledException)
        {
            throw Unusable(row, $"the image cannot be read: {error.Message}", error);
        }
        if (_buffer.Length != input.Length)
            throw Unusable(row, $"{_buffer.Length} values instead of {input.Channels} x {input.Height} x {input.Width} = {input.Length}");
        // The stock pixel extractor gives a vector without a single explicit value for a missing image.
        if (input.Preprocessing is not null && _buffer.GetValues().Length == 0)
            throw Unusable(row, "there is no image");
        bool finite;
        if (_buffer.IsDense)
        {
            finite = CopyFinite(_buffer.GetValues(), pixels);
        }
        else
        {
            _buffer.CopyTo(pixels);
            finite = CopyFinite(pixels[..input.Length], pixels);
        }
        int bad = 0;
        while (!finite && float.IsFinite(pixels[bad]))
            bad++;
        if (!finite)
            throw Unusable(row, $"value {bad} is {pixels[bad]}; pixels must be finite numbers");
    }

    /// <summary>Whether SkiaSharp, which ML.NET decodes images with, is missing or another version. The same types of error may come from the user's own columns.</summary>
    private static bool LacksDecoder(Exception error) =>
        InnermostOf(error) is MissingMemberException or TypeLoadException or DllNotFoundException or BadImageFormatException
        && error.ToString().Contains("SkiaSharp", StringComparison.Ordinal);

    private static Exception InnermostOf(Exception error) => error.InnerException is { } inner ? InnermostOf(inner) : error;

    private InvalidOperationException Unusable(long row, string reason, Exception? inner = null) =>
        new($"Row {row}, column '{input.ColumnName}': {reason}", inner);

    // In one go, because the pixels of a batch don't stay in the caches. False if a value is not finite.
    private static bool CopyFinite(ReadOnlySpan<float> source, Span<float> target)
    {
        // x - x is 0 for finite numbers and NaN for all others, and so is a sum of such differences.
        var sums = Vector<float>.Zero;
        int whole = source.Length - source.Length % Vector<float>.Count;
        for (int i = 0; i < whole; i += Vector<float>.Count)
        {
            var some = new Vector<float>(source[i..]);
            some.CopyTo(target[i..]);
            sums += some - some;
        }
        float sum = Vector.Sum(sums);
        for (int i = whole; i < source.Length; i++)
        {
            target[i] = source[i];
            sum += source[i] - source[i];
        }
        return sum == 0;
    }
}
