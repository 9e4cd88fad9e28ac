using System.Runtime.Intrinsics;

namespace RepVgg.Training.Data;

/// <summary>Argument checks and conversions shared by the sample sources.</summary>
internal static class SampleShape
{
    /// <summary>Checks the dimensions and returns the number of values of one image.</summary>
    public static int Length(int channels, int height, int width, int classes)
    {
        if (channels is not (1 or 3))
            throw new ArgumentOutOfRangeException(nameof(channels), channels, "Images have 1 channel (grey) or 3 (R, G, B).");
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(classes, 1);
        return checked(channels * height * width);
    }

    public static void CheckLabel(int label, int classes, long row)
    {
        if ((uint)label >= (uint)classes)
            throw new ArgumentException($"Row {row}: label {label} is outside 0 .. {classes - 1}.");
    }

    /// <summary>Checks that images have the network's size. Others are only for an augmentation that cuts parts out of them.</summary>
    public static void CheckSizes(ISampleSource source, string name)
    {
        for (int i = 0; i < source.Count; i++)
        {
            var (height, width) = source.SizeOf(i);
            if ((height, width) != (source.Height, source.Width))
                throw new ArgumentException($"Row {source.RowOf(i)} of the {name} set: the image is {width}x{height} pixels, not {source.Width}x{source.Height}.");
        }
    }

    public static void CheckPixels(ReadOnlySpan<float> pixels, long row)
    {
        for (int i = 0; i < pixels.Length; i++)
        {
            if (!float.IsFinite(pixels[i]))
                throw new ArgumentException(FormattableString.Invariant($"Row {row}: pixel {i} is {pixels[i]}; every value of an image must be a finite number."));
        }
    }

    /// <summary>Converts values to bytes. Returns false, with undefined contents of the destination, if a value is not an integer in 0..255.</summary>
    public static bool TryNarrow(ReadOnlySpan<float> source, Span<byte> destination)
    {
        int width = Vector128<float>.Count, i = 0;
        for (; i <= source.Length - 4 * width; i += 4 * width)
        {
            Vector128<float> a = Vector128.Create(source[i..]), b = Vector128.Create(source[(i + width)..]);
            Vector128<float> c = Vector128.Create(source[(i + 2 * width)..]), d = Vector128.Create(source[(i + 3 * width)..]);
            Vector128<int> p = Vector128.ConvertToInt32(a), q = Vector128.ConvertToInt32(b), r = Vector128.ConvertToInt32(c), s = Vector128.ConvertToInt32(d);
            // The conversion changes every value that is not an integer, NaN included; the bits above the lowest 8 are set outside 0..255.
            var isInteger = Vector128.Equals(Vector128.ConvertToSingle(p), a) & Vector128.Equals(Vector128.ConvertToSingle(q), b)
                & Vector128.Equals(Vector128.ConvertToSingle(r), c) & Vector128.Equals(Vector128.ConvertToSingle(s), d);
            var outside = (p | q | r | s) & Vector128.Create(~255);
            if (!Vector128.EqualsAll(isInteger.AsInt32(), Vector128<int>.AllBitsSet) || outside != Vector128<int>.Zero)
                return false;
            Vector128.Narrow(Vector128.Narrow(p, q).AsUInt16(), Vector128.Narrow(r, s).AsUInt16()).CopyTo(destination[i..]);
        }
        for (; i < source.Length; i++)
        {
            float value = source[i];
            if (!(value >= 0f && value <= 255f) || value != (byte)value)
                return false;
            destination[i] = (byte)value;
        }
        return true;
    }

    public static void Widen(ReadOnlySpan<byte> source, Span<float> destination)
    {
        for (int i = 0; i < source.Length; i++)
            destination[i] = source[i];
    }
}
