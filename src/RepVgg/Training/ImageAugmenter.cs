using RepVgg.Architectures;
using RepVgg.Runtime;

namespace RepVgg.Training;

/// <summary>Converts a raw image to the network's input: crop, flip, normalisation and random erasing, in this order.</summary>
internal sealed class ImageAugmenter(Augmentation augmentation, Normalization normalization, int channels, int height, int width)
{
    private const double SmallestErasedArea = 0.02, LargestErasedArea = 1.0 / 3;
    private const double SmallestAspect = 0.3, LargestAspect = 1 / 0.3;

    /// <summary>Normalises an image without augmentation, as for validation.</summary>
    public void Plain(ReadOnlySpan<float> raw, Span<float> destination) => Write(raw, destination, 0, 0, false);

    /// <summary>Augments and normalises an image.</summary>
    /// <param name="raw">C * H * W raw pixel values, CHW.</param>
    /// <param name="destination">Receives C * H * W values, CHW.</param>
    /// <param name="random">Random generator for this image and epoch.</param>
    public void Random(ReadOnlySpan<float> raw, Span<float> destination, RandomStream random)
    {
        int shiftY = 0, shiftX = 0;
        if (augmentation.CropPadding > 0)
        {
            shiftY = random.Next(2 * augmentation.CropPadding + 1) - augmentation.CropPadding;
            shiftX = random.Next(2 * augmentation.CropPadding + 1) - augmentation.CropPadding;
        }
        bool mirror = augmentation.HorizontalFlip && random.Next(2) == 1;
        Write(raw, destination, shiftY, shiftX, mirror);
        if (augmentation.ErasingProbability > 0 && random.NextDouble() < augmentation.ErasingProbability)
            Erase(destination, ref random);
    }

    private void Write(ReadOnlySpan<float> raw, Span<float> destination, int shiftY, int shiftX, bool mirror)
    {
        for (int c = 0; c < channels; c++)
        {
            float mean = normalization.Mean[c], scale = normalization.Scale[c];
            float black = (0 - mean) * scale;
            for (int y = 0; y < height; y++)
            {
                var row = destination.Slice((c * height + y) * width, width);
                int sourceY = y + shiftY;
                if ((uint)sourceY >= (uint)height)
                {
                    row.Fill(black);
                    continue;
                }
                var source = raw.Slice((c * height + sourceY) * width, width);
                for (int x = 0; x < width; x++)
                {
                    int sourceX = x + shiftX;
                    row[x] = (uint)sourceX < (uint)width ? (source[sourceX] - mean) * scale : black;
                }
                if (mirror)
                    row.Reverse();
            }
        }
    }

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
