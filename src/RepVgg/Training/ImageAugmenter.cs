using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Converts a raw image to the network's input: the operations on bytes, crop, flips, normalisation and random erasing, in this order.</summary>
/// <remarks>An instance reuses its memory and serves one thread at a time.</remarks>
/// <param name="augmentation">The options.</param>
/// <param name="normalization">Applied to every image.</param>
/// <param name="channels">Channels of the images.</param>
/// <param name="height">Height of the result in pixels.</param>
/// <param name="width">Width of the result in pixels.</param>
/// <param name="resizes">Whether whole images of other sizes are resized. Otherwise images must have the size of the result, unless there is a random resized crop.</param>
internal sealed class ImageAugmenter(Augmentation augmentation, Normalization normalization, int channels, int height, int width, bool resizes = false)
{
    private const double SmallestErasedArea = 0.02, LargestErasedArea = 1.0 / 3;
    private const double SmallestAspect = 0.3, LargestAspect = 1 / 0.3;

    private readonly PixelAugmenter? _pixels = augmentation.NeedsBytes || resizes ? new PixelAugmenter(augmentation, [.. normalization.Mean.Select(ToByte)], height, width) : null;

    /// <summary>Height of the result in pixels.</summary>
    public int Height => height;

    /// <summary>Width of the result in pixels.</summary>
    public int Width => width;

    /// <summary>Creates an augmenter with the same options, for another thread.</summary>
    public ImageAugmenter Clone() => new(augmentation, normalization, channels, height, width, resizes);

    /// <summary>Creates an augmenter of the same images whose result is smaller. The padding of the crop is reduced as the shorter side and rounded down.</summary>
    /// <param name="smallerHeight">Height of its result in pixels.</param>
    /// <param name="smallerWidth">Width of its result in pixels.</param>
    /// <returns>The augmenter; this one if its result has that size.</returns>
    public ImageAugmenter Reduced(int smallerHeight, int smallerWidth) => (smallerHeight, smallerWidth) == (height, width) ? this
        : new(augmentation with { CropPadding = augmentation.CropPadding * Math.Min(smallerHeight, smallerWidth) / Math.Min(height, width) }, normalization, channels, smallerHeight, smallerWidth, resizes: true);

    /// <summary>Normalises an image without augmentation, as for validation.</summary>
    /// <typeparam name="TPixel">Type of the raw pixels: byte or float.</typeparam>
    /// <param name="raw">C * H * W raw pixel values, CHW.</param>
    /// <param name="destination">Receives C * H * W values, CHW.</param>
    public void Convert<TPixel>(ReadOnlySpan<TPixel> raw, Span<float> destination)
        where TPixel : unmanaged => Write(raw, destination, 0, 0, mirror: false, upsideDown: false);

    /// <summary>Augments and normalises an image of bytes.</summary>
    /// <param name="raw">The raw pixels, CHW.</param>
    /// <param name="rawHeight">Height of the raw image in pixels.</param>
    /// <param name="rawWidth">Width of the raw image in pixels.</param>
    /// <param name="destination">Receives C * H * W values, CHW.</param>
    /// <param name="random">Random generator for this image and epoch.</param>
    public void Augment(ReadOnlySpan<byte> raw, int rawHeight, int rawWidth, Span<float> destination, RandomStream random)
    {
        if (_pixels is not null)
            raw = _pixels.Augment(raw, rawHeight, rawWidth, ref random);
        Place(raw, destination, ref random);
    }

    /// <summary>Augments and normalises an image of the result's size whose pixels are not bytes.</summary>
    /// <param name="raw">C * H * W raw pixel values, CHW.</param>
    /// <param name="destination">Receives C * H * W values, CHW.</param>
    /// <param name="random">Random generator for this image and epoch.</param>
    /// <param name="row">Row of the image, for messages.</param>
    /// <exception cref="InvalidOperationException">The augmentation has an operation that computes on bytes, or the image is to be resized.</exception>
    public void Augment(ReadOnlySpan<float> raw, Span<float> destination, RandomStream random, long row = 0)
    {
        if (_pixels is not null)
        {
            string operations = augmentation.NeedsBytes ? "RandomResizedCrop, ColorJitter, RandAugment and Rotation compute" : "ProgressiveResizing computes";
            throw new InvalidOperationException($"Row {row}: {operations} on bytes, but a pixel of the image is not a whole number of 0 .. 255. Scale the pixels to that range, or leave {(augmentation.NeedsBytes ? "these operations" : "this option")} out.");
        }
        Place(raw, destination, ref random);
    }

    private void Place<TPixel>(ReadOnlySpan<TPixel> raw, Span<float> destination, ref RandomStream random)
        where TPixel : unmanaged
    {
        int shiftY = 0, shiftX = 0;
        if (augmentation.CropPadding > 0)
        {
            shiftY = random.Next(2 * augmentation.CropPadding + 1) - augmentation.CropPadding;
            shiftX = random.Next(2 * augmentation.CropPadding + 1) - augmentation.CropPadding;
        }
        bool mirror = augmentation.HorizontalFlip && random.Next(2) == 1;
        bool upsideDown = augmentation.VerticalFlip && random.Next(2) == 1;
        Write(raw, destination, shiftY, shiftX, mirror, upsideDown);
        if (augmentation.ErasingProbability > 0 && random.NextDouble() < augmentation.ErasingProbability)
            Erase(destination, ref random);
    }

    private void Write<TPixel>(ReadOnlySpan<TPixel> raw, Span<float> destination, int shiftY, int shiftX, bool mirror, bool upsideDown)
        where TPixel : unmanaged
    {
        // The columns of a row whose source is inside the image.
        int first = Math.Max(0, -shiftX), end = Math.Min(width, width - shiftX);
        for (int c = 0; c < channels; c++)
        {
            float mean = normalization.Mean[c], scale = normalization.Scale[c];
            float black = (0 - mean) * scale;
            for (int y = 0; y < height; y++)
            {
                var row = destination.Slice((c * height + (upsideDown ? height - 1 - y : y)) * width, width);
                int sourceY = y + shiftY;
                if ((uint)sourceY >= (uint)height)
                {
                    row.Fill(black);
                    continue;
                }
                var source = raw.Slice((c * height + sourceY) * width, width);
                row[..first].Fill(black);
                Normalize(source[(first + shiftX)..(end + shiftX)], mean, scale, row[first..end]);
                row[end..].Fill(black);
                if (mirror)
                    row.Reverse();
            }
        }
    }

    /// <summary>Computes destination[i] = (source[i] - mean) * scale.</summary>
    private static void Normalize<TPixel>(ReadOnlySpan<TPixel> source, float mean, float scale, Span<float> destination)
        where TPixel : unmanaged
    {
        if (typeof(TPixel) == typeof(byte))
            NormalizeBytes(MemoryMarshal.AsBytes(source), mean, scale, destination);
        else
            NormalizeFloats(MemoryMarshal.Cast<TPixel, float>(source), mean, scale, destination);
    }

    private static void NormalizeBytes(ReadOnlySpan<byte> source, float mean, float scale, Span<float> destination)
    {
        var means = Vector128.Create(mean);
        int i = 0;
        for (; i <= source.Length - Vector128<byte>.Count; i += Vector128<byte>.Count)
        {
            var (low, high) = Vector128.Widen(Vector128.Create(source[i..]));
            var (a, b) = Vector128.Widen(low);
            var (c, d) = Vector128.Widen(high);
            var part = destination.Slice(i, Vector128<byte>.Count);
            ((Vector128.ConvertToSingle(a.AsInt32()) - means) * scale).CopyTo(part);
            ((Vector128.ConvertToSingle(b.AsInt32()) - means) * scale).CopyTo(part[4..]);
            ((Vector128.ConvertToSingle(c.AsInt32()) - means) * scale).CopyTo(part[8..]);
            ((Vector128.ConvertToSingle(d.AsInt32()) - means) * scale).CopyTo(part[12..]);
        }
        for (; i < source.Length; i++)
            destination[i] = (source[i] - mean) * scale;
    }

    private static void NormalizeFloats(ReadOnlySpan<float> source, float mean, float scale, Span<float> destination)
    {
        var means = Vector128.Create(mean);
        int i = 0;
        for (; i <= source.Length - Vector128<float>.Count; i += Vector128<float>.Count)
            ((Vector128.Create(source[i..]) - means) * scale).CopyTo(destination[i..]);
        for (; i < source.Length; i++)
            destination[i] = (source[i] - mean) * scale;
    }

    private static byte ToByte(float mean) => (byte)Math.Clamp(MathF.Round(mean), 0, byte.MaxValue);

    private void Erase(Span<float> destination, ref RandomStream random)
    {
        double area = (SmallestErasedArea + random.NextDouble() * (LargestErasedArea - SmallestErasedArea)) * height * width;
        double aspect = Math.Exp(Math.Log(SmallestAspect) + random.NextDouble() * (Math.Log(LargestAspect) - Math.Log(SmallestAspect)));
        int h = Math.Clamp((int)Math.Round(Math.Sqrt(area * aspect)), 1, height);
        int w = Math.Clamp((int)Math.Round(Math.Sqrt(area / aspect)), 1, width);
        int top = random.Next(height - h + 1), left = random.Next(width - w + 1);
        for (int c = 0; c < channels; c++)
        {
            for (int y = top; y < top + h; y++)
                destination.Slice((c * height + y) * width + left, w).Clear();
        }
    }
}
