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

    public static void CheckPixels(ReadOnlySpan<float> pixels, long row)
    {
        for (int i = 0; i < pixels.Length; i++)
        {
            if (!float.IsFinite(pixels[i]))
                throw new ArgumentException($"Row {row}: pixel {i} is {pixels[i]}; every value of an image must be a finite number.");
        }
    }

    /// <summary>Whether every value is an integer in 0..255 and can be stored as a byte.</summary>
    public static bool FitsBytes(ReadOnlySpan<float> pixels)
    {
        foreach (float value in pixels)
        {
            if (!(value >= 0f && value <= 255f) || value != (byte)value)
                return false;
        }
        return true;
    }

    public static void Widen(ReadOnlySpan<byte> source, Span<float> destination)
    {
        for (int i = 0; i < source.Length; i++)
            destination[i] = source[i];
    }
}
