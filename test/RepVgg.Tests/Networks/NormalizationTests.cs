using RepVgg.Architectures;
using Xunit;

namespace RepVgg.Tests.Networks;

public class NormalizationTests
{
    [Fact]
    public void Mean_and_deviation_of_pixels_0_to_1_give_the_values_of_torchvision()
    {
        var normalization = Normalization.FromMeanStd([0.485f, 0.456f, 0.406f], [0.229f, 0.224f, 0.225f]);
        for (int channel = 0; channel < 3; channel++)
        {
            // torchvision: ToTensor divides by 255, then Normalize subtracts the mean and divides by the standard deviation.
            foreach (float pixel in new[] { 0f, 17, 255 })
            {
                double expected = (pixel / 255.0 - new[] { 0.485, 0.456, 0.406 }[channel]) / new[] { 0.229, 0.224, 0.225 }[channel];
                Assert.Equal(expected, (pixel - normalization.Mean[channel]) * normalization.Scale[channel], 1e-5);
            }
            Assert.Equal(Normalization.ImageNet.Mean[channel], normalization.Mean[channel], 1e-4f);
            Assert.Equal(Normalization.ImageNet.Scale[channel], normalization.Scale[channel], 1e-7f);
        }
    }

    [Fact]
    public void Mean_and_deviation_of_raw_pixels()
    {
        var normalization = Normalization.FromMeanStd([100, -5], [50, 0.25f], maxPixelValue: 1);
        Assert.Equal([100f, -5], normalization.Mean.AsEnumerable());
        Assert.Equal([0.02f, 4], normalization.Scale.AsEnumerable());
    }

    [Fact]
    public void Values_that_cannot_be_meant_are_refused()
    {
        static string Refused(float[] mean, float[] std, float maxPixelValue = 255) =>
            Assert.ThrowsAny<ArgumentException>(() => Normalization.FromMeanStd(mean, std, maxPixelValue)).Message;

        Assert.Contains("3 means and 1 standard deviations", Refused([0, 0, 0], [1]));
        Assert.Contains("0 means and 0 standard deviations", Refused([], []));
        Assert.Contains("standard deviation of channel 1 is 0;", Refused([0, 0], [1, 0]));
        Assert.Contains("standard deviation of channel 0 is -1;", Refused([0], [-1]));
        Assert.Contains("standard deviation of channel 0 is NaN;", Refused([0], [float.NaN]));
        Assert.Contains("mean of channel 1 is NaN;", Refused([0, float.NaN], [1, 1]));
        Assert.Contains("set maxPixelValue to 1", Refused([123.675f], [58.395f]));
        Assert.Contains("maximum pixel value", Refused([0], [1], maxPixelValue: 0));
        Assert.Contains("maximum pixel value", Refused([0], [1], maxPixelValue: float.NaN));
    }
}
