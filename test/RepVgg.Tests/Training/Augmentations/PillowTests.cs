using System.Text.Json;
using RepVgg.Testing;
using RepVgg.Training.Augmentations;
using Xunit;

namespace RepVgg.Tests.Training.Augmentations;

/// <summary>Compares the operations with Pillow, byte for byte.</summary>
public sealed class PillowTests : IDisposable
{
    private static readonly byte[] _fill = [128, 128, 128];
    private readonly JsonDocument _golden = JsonDocument.Parse(File.ReadAllText(GoldenFiles.PathOf(Path.Combine("pillow", "operations.json"))));

    public static TheoryData<string> Operations =>
    [
        "AutoContrast", "Equalize", "Invert", "Posterize", "Solarize", "SolarizeAdd", "Brightness", "Contrast", "Color", "Hue", "Sharpness",
        "Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY", "Resize",
    ];

    public void Dispose() => _golden.Dispose();

    [Theory]
    [MemberData(nameof(Operations))]
    public void An_operation_gives_the_pixels_of_Pillow(string operation)
    {
        int cases = 0;
        // The instances are used for all images, of different sizes.
        var (tones, affine, resizer) = (new ToneOperations(), new AffineOperations(), new BilinearResizer());
        foreach (var golden in _golden.RootElement.GetProperty("cases").EnumerateArray().Where(golden => golden.GetProperty("operation").GetString() == operation))
        {
            var image = Read(_golden.RootElement.GetProperty("images").GetProperty(golden.GetProperty("image").GetString()!));
            double[] arguments = [.. golden.GetProperty("arguments").EnumerateArray().Select(value => value.GetDouble())];
            var expected = Read(golden);

            image = Apply(operation, image, arguments, tones, affine, resizer);

            string name = $"{golden.GetProperty("image").GetString()} {operation} {string.Join(' ', arguments)}";
            Assert.True((image.Channels, image.Height, image.Width) == (expected.Channels, expected.Height, expected.Width), name);
            for (int i = 0; i < image.Pixels.Length; i++)
                Assert.True(expected.Pixels[i] == image.Pixels[i], FormattableString.Invariant($"{name}: value {i} is {image.Pixels[i]}, that of Pillow {expected.Pixels[i]}"));
            cases++;
        }
        Assert.True(cases >= 5, $"{cases} cases");
    }

    private static PlanarImage Apply(string operation, PlanarImage image, double[] arguments, ToneOperations tones, AffineOperations affine, BilinearResizer resizer)
    {
        double argument = arguments.Length > 0 ? arguments[0] : 0;
        switch (operation)
        {
            case "AutoContrast": tones.AutoContrast(image); break;
            case "Equalize": tones.Equalize(image); break;
            case "Invert": ToneOperations.Invert(image); break;
            case "Posterize": ToneOperations.Posterize(image, (int)argument); break;
            case "Solarize": tones.Solarize(image, (int)argument); break;
            case "SolarizeAdd": tones.SolarizeAdd(image, (int)argument); break;
            case "Brightness": tones.Brightness(image, (float)argument); break;
            case "Contrast": tones.Contrast(image, (float)argument); break;
            case "Color": tones.Color(image, (float)argument); break;
            case "Hue": ToneOperations.Hue(image, argument); break;
            case "Sharpness": tones.Sharpness(image, (float)argument); break;
            case "Rotate": affine.Rotate(image, argument, _fill); break;
            case "ShearX": affine.ShearX(image, argument, _fill); break;
            case "ShearY": affine.ShearY(image, argument, _fill); break;
            case "TranslateX": affine.TranslateX(image, argument, _fill); break;
            case "TranslateY": affine.TranslateY(image, argument, _fill); break;
            case "Resize":
                int[] sizes = [.. arguments.Select(value => (int)value)];
                var resized = new PlanarImage();
                resized.Reset(image.Channels, sizes[5], sizes[4]);
                resizer.Resize(image.Pixels, image.Channels, image.Height, image.Width, new CropRectangle(sizes[0], sizes[1], sizes[2], sizes[3]), resized);
                return resized;
            default: throw new ArgumentException($"There is no operation {operation}.");
        }
        return image;
    }

    private static PlanarImage Read(JsonElement element)
    {
        int[] shape = [.. element.GetProperty("shape").EnumerateArray().Select(value => value.GetInt32())];
        var image = new PlanarImage();
        image.Set(element.GetProperty("pixels").GetBytesFromBase64(), shape[0], shape[1], shape[2]);
        return image;
    }
}
