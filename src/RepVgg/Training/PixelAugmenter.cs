using System.Numerics;
using RepVgg.Runtime;
using RepVgg.Training.Augmentations;

namespace RepVgg.Training;

/// <summary>Applies the operations of an <see cref="Augmentation"/> that compute on bytes: resizing, random resized crop, colour jitter, RandAugment and rotation.</summary>
/// <remarks>An instance reuses its memory and serves one thread at a time.</remarks>
/// <param name="augmentation">The options.</param>
/// <param name="fill">The colour of pixels from outside the image, per channel.</param>
/// <param name="height">Height of the result in pixels.</param>
/// <param name="width">Width of the result in pixels.</param>
internal sealed class PixelAugmenter(Augmentation augmentation, byte[] fill, int height, int width)
{
    private const double LargestAngle = 30, LargestShear = 0.3, LargestTranslation = 0.45, CutoutSide = 80.0 / 224;
    private const double EnhancementRange = 0.9, SmallestEnhancement = 0.1;
    private const int PosterizedBits = 4, SolarizeRange = 256, SolarizeAddRange = 110;
    private const double LevelDenominator = 10;

    private readonly RandAugmentOperations[] _operations = augmentation.RandAugment is { } options
        ? [.. Enum.GetValues<RandAugmentOperations>().Where(operation => BitOperations.IsPow2((int)operation) && options.Operations.HasFlag(operation) && (operation != RandAugmentOperations.Color || fill.Length == 3))]
        : [];
    private readonly PlanarImage _image = new();
    private readonly BilinearResizer _resizer = new();
    private readonly ToneOperations _tones = new();
    private readonly AffineOperations _affine = new();

    /// <summary>Augments an image.</summary>
    /// <param name="raw">The image, CHW.</param>
    /// <param name="rawHeight">Its height in pixels.</param>
    /// <param name="rawWidth">Its width in pixels.</param>
    /// <param name="random">Random generator of this image and epoch.</param>
    /// <returns>The pixels of the result, CHW, valid until the next call.</returns>
    public ReadOnlySpan<byte> Augment(ReadOnlySpan<byte> raw, int rawHeight, int rawWidth, scoped ref RandomStream random)
    {
        if (augmentation.RandomResizedCrop is { } crop)
            Resize(raw, rawHeight, rawWidth, Draw(crop, rawHeight, rawWidth, ref random));
        else if ((rawHeight, rawWidth) != (height, width))
            Resize(raw, rawHeight, rawWidth, new CropRectangle(0, 0, rawWidth, rawHeight));
        else
            _image.Set(raw, fill.Length, height, width);
        if (augmentation.ColorJitter is { } jitter && (jitter.Probability == 1 || random.NextDouble() < jitter.Probability))
            Jitter(jitter, ref random);
        for (int i = 0; _operations.Length > 0 && i < augmentation.RandAugment!.OperationsPerImage; i++)
            ApplyOne(augmentation.RandAugment, ref random);
        if (augmentation.Rotation > 0)
            _affine.Rotate(_image, random.NextDouble(-augmentation.Rotation, augmentation.Rotation), fill);
        return _image.Pixels;
    }

    /// <summary>Draws a rectangle. If none of ten fits into the image, it is the largest centred one of an allowed ratio.</summary>
    internal static CropRectangle Draw(RandomResizedCrop options, int height, int width, ref RandomStream random)
    {
        const int Attempts = 10;
        double area = (double)height * width;
        for (int i = 0; i < Attempts; i++)
        {
            double target = area * random.NextDouble(options.MinimumScale, options.MaximumScale);
            double ratio = Math.Exp(random.NextDouble(Math.Log(options.MinimumRatio), Math.Log(options.MaximumRatio)));
            int w = (int)Math.Round(Math.Sqrt(target * ratio)), h = (int)Math.Round(Math.Sqrt(target / ratio));
            if (w >= 1 && w <= width && h >= 1 && h <= height)
            {
                int top = random.Next(height - h + 1);
                return new CropRectangle(random.Next(width - w + 1), top, w, h);
            }
        }
        double wanted = Math.Clamp((double)width / height, options.MinimumRatio, options.MaximumRatio);
        int cropWidth = Math.Clamp((int)Math.Round(height * wanted), 1, width), cropHeight = Math.Clamp((int)Math.Round(width / wanted), 1, height);
        return new CropRectangle((width - cropWidth) / 2, (height - cropHeight) / 2, cropWidth, cropHeight);
    }

    private void Resize(ReadOnlySpan<byte> raw, int rawHeight, int rawWidth, CropRectangle rectangle)
    {
        _image.Reset(fill.Length, height, width);
        _resizer.Resize(raw, fill.Length, rawHeight, rawWidth, rectangle, _image);
    }

    private void Jitter(ColorJitter jitter, ref RandomStream random)
    {
        Span<int> order = jitter.Hue > 0 ? [0, 1, 2, 3] : [0, 1, 2];
        random.Shuffle(order);
        float brightness = Factor(jitter.Brightness, ref random), contrast = Factor(jitter.Contrast, ref random), saturation = Factor(jitter.Saturation, ref random);
        double hue = jitter.Hue > 0 ? random.NextDouble(-jitter.Hue, jitter.Hue) : 0;
        foreach (int operation in order)
        {
            if (operation == 0 && jitter.Brightness > 0)
                _tones.Brightness(_image, brightness);
            else if (operation == 1 && jitter.Contrast > 0)
                _tones.Contrast(_image, contrast);
            else if (operation == 2 && jitter.Saturation > 0)
                _tones.Color(_image, saturation);
            else if (operation == 3)
                ToneOperations.Hue(_image, hue);
        }

        static float Factor(double change, ref RandomStream random) => (float)random.NextDouble(Math.Max(0, 1 - change), 1 + change);
    }

    private void ApplyOne(RandAugment options, ref RandomStream random)
    {
        var operation = _operations[random.Next(_operations.Length)];
        if (random.NextDouble() >= options.Probability)
            return;
        double magnitude = double.IsPositiveInfinity(options.MagnitudeDeviation)
            ? random.NextDouble(0, options.Magnitude)
            : Math.Clamp(options.Magnitude + options.MagnitudeDeviation * random.NextNormal(), 0, options.MaximumMagnitude);
        Apply(operation, magnitude / LevelDenominator, ref random);
    }

    private void Apply(RandAugmentOperations operation, double level, ref RandomStream random)
    {
        int sign = random.Next(2) == 0 ? 1 : -1;
        float factor = (float)Math.Max(SmallestEnhancement, 1 + sign * EnhancementRange * level);
        switch (operation)
        {
            case RandAugmentOperations.AutoContrast: _tones.AutoContrast(_image); break;
            case RandAugmentOperations.Equalize: _tones.Equalize(_image); break;
            case RandAugmentOperations.Invert: ToneOperations.Invert(_image); break;
            case RandAugmentOperations.Rotate: _affine.Rotate(_image, sign * LargestAngle * level, fill); break;
            case RandAugmentOperations.Posterize: ToneOperations.Posterize(_image, Math.Max(0, PosterizedBits - (int)(PosterizedBits * level))); break;
            case RandAugmentOperations.Solarize: _tones.Solarize(_image, Math.Max(0, SolarizeRange - (int)(SolarizeRange * level))); break;
            case RandAugmentOperations.SolarizeAdd: _tones.SolarizeAdd(_image, (int)(SolarizeAddRange * level)); break;
            case RandAugmentOperations.Color: _tones.Color(_image, factor); break;
            case RandAugmentOperations.Contrast: _tones.Contrast(_image, factor); break;
            case RandAugmentOperations.Brightness: _tones.Brightness(_image, factor); break;
            case RandAugmentOperations.Sharpness: _tones.Sharpness(_image, factor); break;
            case RandAugmentOperations.ShearX: _affine.ShearX(_image, sign * LargestShear * level, fill); break;
            case RandAugmentOperations.ShearY: _affine.ShearY(_image, sign * LargestShear * level, fill); break;
            case RandAugmentOperations.TranslateX: _affine.TranslateX(_image, sign * LargestTranslation * level, fill); break;
            case RandAugmentOperations.TranslateY: _affine.TranslateY(_image, sign * LargestTranslation * level, fill); break;
            case RandAugmentOperations.Cutout: Cutout((int)Math.Round(CutoutSide * level * Math.Min(height, width)), ref random); break;
            default: throw new ArgumentOutOfRangeException(nameof(operation), operation, "There is no such operation.");
        }
    }

    private void Cutout(int side, ref RandomStream random)
    {
        int centerY = random.Next(height), centerX = random.Next(width);
        int left = Math.Max(0, centerX - side / 2), right = Math.Min(width, centerX - side / 2 + side);
        for (int c = 0; c < fill.Length; c++)
        {
            for (int y = Math.Max(0, centerY - side / 2); y < Math.Min(height, centerY - side / 2 + side); y++)
                _image.Row(c, y)[left..right].Fill(fill[c]);
        }
    }
}
