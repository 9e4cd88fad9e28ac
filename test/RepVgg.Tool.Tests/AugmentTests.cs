using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.ML.Data;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>The sheets of the command augment, whose cells are compared with the pictures.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class AugmentTests : IDisposable
{
    /// <summary>Cells of at least 96 pixels: each of the 16 pixels of a side is enlarged to 6.</summary>
    private const int Factor = 6, Step = Factor * Pictures.Size + 4;

    private const int Channels = 3;

    private readonly TemporaryFolder _folder = new();
    private readonly string _data;

    public AugmentTests() => _data = Pictures.Folder(_folder, "data", 5);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_first_column_is_the_picture_and_the_others_are_draws()
    {
        var (cells, output) = Draw("--count", "4");
        Assert.Equal(4, cells.Length);
        Assert.All(cells, row => Assert.Equal(9, row.Length));
        Assert.Contains("column 9: epoch 8", output, StringComparison.Ordinal);
        // Of every class the first picture, and then the second one of the first class.
        foreach (var (row, name) in cells.Zip(["blue/0.png", "green/0.png", "red/0.png", "blue/1.png"]))
            Assert.Equal(Read(name), row[0]);
        Assert.All(cells, row => Assert.Contains(row[1..], cell => !cell.SequenceEqual(row[0])));
        Assert.NotEqual(cells[0][1], cells[0][2]);
        Assert.Equal(cells.SelectMany(row => row), Draw("--count", "4").Cells.SelectMany(row => row));
    }

    [Fact]
    public void An_operation_is_drawn_at_rising_levels()
    {
        var (cells, output) = Draw("--operation", "solarize-add", "--count", "2");
        foreach (var row in cells)
        {
            Assert.Equal(7, row.Length);
            for (int level = 0; level <= 5; level++)
                Assert.Equal(row[0].Select(v => v < 128 ? Math.Min(255, v + 110 * level / 5) : v), row[level + 1].Select(v => (int)v));
        }
        Assert.Contains("column 2: magnitude 0", output, StringComparison.Ordinal);
        Assert.Contains("column 7: magnitude 10", output, StringComparison.Ordinal);
        // The preset of RepOptimizer has larger ones.
        Assert.Contains("column 7: magnitude 14", Draw("--operation", "invert", "--preset", "repopt").Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Erased_pixels_have_the_mean_colour()
    {
        var (cells, _) = Draw("--operation", "erasing", "--count", "3");
        int area = Pictures.Size * Pictures.Size;
        var pictures = Directory.GetFiles(_data, "*.png", SearchOption.AllDirectories).Select(Read).ToList();
        double[] mean = [.. Enumerable.Range(0, Channels).Select(channel => pictures.Average(pixels => Enumerable.Range(0, area).Average(i => pixels[Channels * i + channel])))];
        foreach (var row in cells)
        {
            Assert.All(row[1..], cell =>
            {
                var erased = Enumerable.Range(0, area).Where(i => Enumerable.Range(0, Channels).Any(channel => cell[Channels * i + channel] != row[0][Channels * i + channel])).ToList();
                Assert.NotEmpty(erased);
                Assert.All(erased, i => Assert.All(mean.Index(), expected => Assert.InRange(cell[Channels * i + expected.Index] - expected.Item, -1, 1)));
            });
        }
    }

    [Fact]
    public void Mixtures_have_the_shares_that_are_printed()
    {
        var (cells, output) = Draw("--operation", "mixup", "--count", "2");
        double[] shares = [.. Regex.Matches(output, @"(\d+) % of the image and").Select(match => double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) / 100)];
        Assert.Equal(8, shares.Length);
        foreach (var row in cells)
        {
            Assert.Equal(10, row.Length);
            foreach (var (column, share) in shares.Index())
                Assert.All(row[column + 2].Index(), value => Assert.InRange(value.Item - (share * row[0][value.Index] + (1 - share) * row[1][value.Index]), -2, 2));
        }
    }

    [Fact]
    public void Wrong_command_lines_are_refused()
    {
        Assert.Contains("--operation is 'twist'; it must be one of: auto-contrast, equalize, ", Fails("--operation", "twist"), StringComparison.Ordinal);
        Assert.Contains("its name must end in .png", Fails("--output", "sheet.jpg"), StringComparison.Ordinal);
        Assert.Contains("--count is '65'; it must be a whole number from 1 to 64.", Fails("--count", "65"), StringComparison.Ordinal);
        Assert.Contains("There is no preset named 'none'", Fails("--preset", "none"), StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(_data, "red", "0.png"), "text");
        var (exitCode, output, error) = Programs.Tool.RunHere("augment", _data, "--output", _folder.File("sheet.png"));
        Assert.Equal((1, ""), (exitCode, output));
        Assert.Contains("0.png': the image cannot be read", error, StringComparison.Ordinal);
        Assert.DoesNotContain("Options.", error, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder.File("sheet.png")));
    }

    private string Fails(params string[] options)
    {
        var (exitCode, output, error) = Programs.Tool.RunHere(["augment", _data, .. options]);
        Assert.Equal((2, ""), (exitCode, output));
        return error;
    }

    /// <summary>Draws a sheet, and reads the pixels of its cells.</summary>
    private (byte[][][] Cells, string Output) Draw(params string[] options)
    {
        string sheet = _folder.File("sheet.png");
        var (exitCode, output, error) = Programs.Tool.RunHere(["augment", _data, "--output", sheet, .. options]);
        Assert.True(exitCode == 0, error);
        var (pixels, width, height) = Decode(sheet);
        Assert.Equal((4, 4), (width % Step, height % Step));
        byte[] Cell(int row, int column) => [.. Enumerable.Range(0, Pictures.Size * Pictures.Size).SelectMany(i =>
            pixels.AsSpan(Channels * ((4 + row * Step + i / Pictures.Size * Factor) * width + 4 + column * Step + i % Pictures.Size * Factor), Channels).ToArray())];
        return ([.. Enumerable.Range(0, height / Step).Select(row => Enumerable.Range(0, width / Step).Select(column => Cell(row, column)).ToArray())], output);
    }

    private byte[] Read(string name) => Decode(Path.Combine(_data, name)).Pixels;

    /// <summary>Decodes a picture to interleaved bytes: red, green and blue.</summary>
    private static (byte[] Pixels, int Width, int Height) Decode(string path)
    {
        using var image = MLImage.CreateFromFile(path);
        int red = image.PixelFormat == MLPixelFormat.Rgba32 ? 0 : 2;
        byte[] pixels = image.Pixels.ToArray();
        return ([.. Enumerable.Range(0, pixels.Length / 4).SelectMany(i => new[] { pixels[4 * i + red], pixels[4 * i + 1], pixels[4 * i + 2 - red] })], image.Width, image.Height);
    }
}
