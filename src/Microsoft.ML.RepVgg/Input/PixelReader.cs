using System.Numerics;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Copies the pixels of one row, and throws if they are missing, have the wrong length or are not finite.</summary>
/// <param name="input">Description of the pixel column.</param>
/// <param name="getter">Getter of the pixel column.</param>
internal sealed class PixelReader(FeatureInput input, ValueGetter<VBuffer<float>> getter)
{
    private VBuffer<float> _buffer;

    /// <summary>Reads the current row.</summary>
    /// <param name="row">Position of the row, for error messages.</param>
    /// <param name="pixels">Receives Channels * Height * Width values in CHW order.</param>
    /// <exception cref="InvalidOperationException">The image is missing, cannot be read, has the wrong length, or has a value that is not finite.</exception>
    /// <exception cref="NotSupportedException">ML.NET cannot decode any image in this application because SkiaSharp is missing or has another version.</exception>
    public void Read(long row, Span<float> pixels)
    {
        try
        {
            getter(ref _buffer);
        }
        catch (Exception error) when (input.Preprocessing is not null && error is not OperationCanceledException && LacksDecoder(error))
        {
            string skia = AppDomain.CurrentDomain.GetAssemblies().FirstOrDefault(assembly => assembly.GetName().Name == "SkiaSharp")?.GetName().Version?.ToString(3) ?? "none";
            throw new NotSupportedException($"ML.NET cannot read images in this application: {InnermostOf(error).Message.TrimEnd('.')}. Its decoder needs SkiaSharp 2.88, with SkiaSharp's native library of the same version; the loaded version is {skia}. Reference SkiaSharp 2.88.9, and no package that needs a later version.", error);
        }
        catch (Exception error) when (input.Preprocessing is not null && error is not OperationCanceledException)
        {
            throw Unusable(row, $"the image cannot be read: {error.Message}", error);
        }
        if (_buffer.Length != input.Length)
            throw Unusable(row, $"{_buffer.Length} values instead of {input.Channels} x {input.Height} x {input.Width} = {input.Length}");
        // For a missing image, ML.NET's pixel extractor returns a sparse vector without explicit values.
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

    /// <summary>Whether the error is due to SkiaSharp, ML.NET's image decoder, being missing or of another version. The text is checked too, since the user's own columns can throw the same exception types.</summary>
    private static bool LacksDecoder(Exception error) =>
        InnermostOf(error) is MissingMemberException or TypeLoadException or DllNotFoundException or BadImageFormatException
        && error.ToString().Contains("SkiaSharp", StringComparison.Ordinal);

    private static Exception InnermostOf(Exception error) => error.InnerException is { } inner ? InnermostOf(inner) : error;

    private InvalidOperationException Unusable(long row, string reason, Exception? inner = null) =>
        new($"Row {row}, column '{input.ColumnName}': {reason}", inner);

    // Copies and checks in one pass, because the pixels of a batch don't fit in the CPU caches. Returns false if a value is not finite.
    private static bool CopyFinite(ReadOnlySpan<float> source, Span<float> target)
    {
        // x - x is 0 if x is finite and NaN otherwise, so the sum of the differences is 0 only if all values are finite.
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
