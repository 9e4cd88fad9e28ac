#if MLNET_STANDIN
using Microsoft.ML.RepVgg.Tests.MLNet.Contract;
using Microsoft.ML.Standin.Images;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Standin.Images;

/// <summary>The stand-in's resampling against Pillow and against a slow reference.</summary>
public sealed class ImageResamplerTests
{
    [Fact]
    public void ShrinksAsPillowsAntialiasedTriangleFilterDoes()
    {
        DecodedImage image = ImageDecoder.Decode(SampleImages.Read("png-rgb.png"));

        byte[] small = ImageResampler.Smooth(image.Pixels, image.Width, image.Height, 9, 5, 0, 0, 9, 5);

        Assert.InRange(SampleImages.Difference(small, SampleImages.ExpectedBgra("png-rgb-9x5.png")).Largest, 0, 1);
    }

    [Fact]
    public void EnlargesWithTheMitchellFilter()
    {
        DecodedImage image = ImageDecoder.Decode(SampleImages.Read("png-rgb.png"));
        const int width = 50, height = 31;

        byte[] large = ImageResampler.Smooth(image.Pixels, image.Width, image.Height, width, height, 0, 0, width, height);

        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                for (int c = 0; c < 3; c++)
                {
                    double expected = Reference(image, (x + 0.5) * image.Width / width, (y + 0.5) * image.Height / height, c);
                    Assert.InRange(large[4 * (y * width + x) + c], Math.Clamp(expected, 0, 255) - 0.51, Math.Clamp(expected, 0, 255) + 0.51);
                }
            }
        }
    }

    [Fact]
    public void AWindowIsACutOutOfTheWhole()
    {
        DecodedImage image = ImageDecoder.Decode(SampleImages.Read("png-rgb.png"));
        byte[] whole = ImageResampler.Smooth(image.Pixels, image.Width, image.Height, 15, 9, 0, 0, 15, 9);

        byte[] window = ImageResampler.Smooth(image.Pixels, image.Width, image.Height, 15, 9, -4, 2, 8, 6);

        for (int y = 0; y < 6; y++)
        {
            byte[] expected = y < 2 ? new byte[4 * 8] : whole[(4 * ((y - 2) * 15 + 4))..(4 * ((y - 2) * 15 + 12))];
            Assert.Equal(expected, window[(4 * 8 * y)..(4 * 8 * (y + 1))]);
        }
    }

    /// <summary>Mitchell and Netravali's family of cubics with B = C = 1/3, in their own form, over all pixels.</summary>
    private static double Reference(DecodedImage image, double atX, double atY, int channel)
    {
        static double Cubic(double x)
        {
            const double b = 1.0 / 3, c = 1.0 / 3;
            x = Math.Abs(x);
            if (x < 1)
                return ((12 - 9 * b - 6 * c) * Math.Pow(x, 3) + (-18 + 12 * b + 6 * c) * x * x + (6 - 2 * b)) / 6;
            return x < 2 ? ((-b - 6 * c) * Math.Pow(x, 3) + (6 * b + 30 * c) * x * x + (-12 * b - 48 * c) * x + (8 * b + 24 * c)) / 6 : 0;
        }

        double sum = 0;
        for (int y = -3; y < image.Height + 3; y++)
        {
            for (int x = -3; x < image.Width + 3; x++)
            {
                int at = Math.Clamp(y, 0, image.Height - 1) * image.Width + Math.Clamp(x, 0, image.Width - 1);
                sum += Cubic(x + 0.5 - atX) * Cubic(y + 0.5 - atY) * image.Pixels[4 * at + channel];
            }
        }
        return sum;
    }
}
#endif
