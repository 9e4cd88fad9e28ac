using RepVgg.Architectures;

namespace Microsoft.ML.RepVgg.Input.Images;

/// <summary>The size to which images are resized, and the part in the middle that is the network's input.</summary>
/// <param name="Height">Height of the network's input in pixels.</param>
/// <param name="Width">Width of the network's input in pixels.</param>
/// <param name="ResizedHeight">Height to which images are resized, at least <paramref name="Height"/>.</param>
/// <param name="ResizedWidth">Width to which images are resized, at least <paramref name="Width"/>.</param>
internal readonly record struct CenterCrop(int Height, int Width, int ResizedHeight, int ResizedWidth)
{
    /// <summary>Gets the crop of a fraction: images are resized to round(size / fraction).</summary>
    /// <param name="height">Height of the network's input in pixels.</param>
    /// <param name="width">Width of the network's input in pixels.</param>
    /// <param name="fraction">Share of the resized image's height and width that is kept, more than 0 and at most 1.</param>
    /// <exception cref="ArgumentException">The resized image would be too large.</exception>
    public static CenterCrop Of(int height, int width, double fraction)
    {
        double resizedHeight = Math.Round(height / fraction), resizedWidth = Math.Round(width / fraction);
        if (Math.Max(resizedHeight, resizedWidth) > ArchitectureValidation.MaximumImageSide || resizedHeight * resizedWidth > ArchitectureValidation.MaximumImageValues)
            throw new ArgumentException(FormattableString.Invariant($"CropFraction is {fraction}: images would be resized to {resizedWidth} x {resizedHeight} pixels, of which {width} x {height} are kept. That is too large; give a larger fraction, such as 0.875."));
        return new CenterCrop(height, width, (int)resizedHeight, (int)resizedWidth);
    }

    /// <summary>Whether nothing is cut off.</summary>
    public bool IsWhole => (ResizedHeight, ResizedWidth) == (Height, Width);

    /// <summary>First row of the resized image that is kept.</summary>
    public int Top => Offset(ResizedHeight - Height);

    /// <summary>First column of the resized image that is kept.</summary>
    public int Left => Offset(ResizedWidth - Width);

    /// <summary>Copies the part in the middle of planes.</summary>
    /// <param name="resized">The planes of the resized image, CHW.</param>
    /// <param name="planes">Receives the planes of the network's input, CHW.</param>
    public void Copy(ReadOnlySpan<byte> resized, Span<byte> planes)
    {
        int rows = planes.Length / Width;
        for (int i = 0; i < rows; i++)
            resized.Slice((i / Height * ResizedHeight + Top + i % Height) * ResizedWidth + Left, Width).CopyTo(planes[(i * Width)..]);
    }

    /// <summary>Half of an odd number is rounded to the even number, as in torchvision's center_crop.</summary>
    private static int Offset(int surplus) => (int)Math.Round(surplus / 2.0, MidpointRounding.ToEven);
}
