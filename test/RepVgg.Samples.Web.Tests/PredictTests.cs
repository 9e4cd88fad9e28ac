using System.Net.Http.Json;
using System.Text.Json;
using SkiaSharp;
using Xunit;
using static RepVgg.Samples.Web.Tests.TestServer;

namespace RepVgg.Samples.Web.Tests;

public sealed class PredictTests(Models models) : IClassFixture<Models>
{
    [Fact]
    public async Task An_image_is_sent_as_a_form_as_JSON_or_as_it_is()
    {
        await using var server = await StartAsync(models.First);
        byte[] image = Pictures.Png(2);
        var expected = Pictures.Score(models.First, [image]).Single();
        JsonElement[] answers =
        [
            await AnswerAsync(server.Client.PostAsync("predict", Form(image))),
            await AnswerAsync(server.Client.PostAsJsonAsync("predict", new { imageSource = image })),
            await AnswerAsync(server.Client.PostAsJsonAsync("predict", new Dictionary<string, byte[]> { ["ImageSource"] = image })),
            await AnswerAsync(server.SendAsync(image)),
            await AnswerAsync(server.SendAsync(image, type: "application/octet-stream")),
        ];
        Assert.All(answers, answer =>
        {
            Assert.Equal("blue", answer.GetProperty("label").GetString());
            string[] best = [.. expected.OrderByDescending(entry => entry.Value).Take(5).Select(entry => entry.Key)];
            Assert.Equal(best, answer.GetProperty("predictions").EnumerateArray().Select(entry => entry.GetProperty("label").GetString()!));
            Assert.True(Agrees(answer, expected), answer.ToString());
            Assert.Equal((24, 20), Size(answer.GetProperty("image")));
            Assert.Equal(image.Length, answer.GetProperty("bytes").GetInt32());
            Assert.True(answer.GetProperty("milliseconds").GetDouble() > 0);
            Assert.Equal(JsonValueKind.Null, answer.GetProperty("heatMap").ValueKind);
        });
    }

    [Fact]
    public async Task The_heat_map_is_a_PNG_of_the_size_of_the_image()
    {
        await using var server = await StartAsync(models.First);
        var predicted = (await AnswerAsync(server.SendAsync(Pictures.Png(0), "?explain=true"))).GetProperty("heatMap");
        Assert.Equal("red", predicted.GetProperty("label").GetString());
        Assert.Equal((16, 16), Size(predicted.GetProperty("input")));
        using var drawing = Decode(predicted);
        Assert.Equal((24, 20), (drawing.Width, drawing.Height));

        var other = (await AnswerAsync(server.SendAsync(Pictures.Png(0), "?explain=true&class=cyan"))).GetProperty("heatMap");
        Assert.Equal("cyan", other.GetProperty("label").GetString());
        Assert.True(other.GetProperty("probability").GetSingle() < predicted.GetProperty("probability").GetSingle());
        Assert.NotEqual(predicted.GetProperty("png").GetString(), other.GetProperty("png").GetString());
    }

    [Fact]
    public async Task The_heat_map_of_a_large_image_has_the_size_of_the_network()
    {
        await using var server = await StartAsync(models.First);
        var map = (await AnswerAsync(server.SendAsync(Pictures.Plain(2500, 1601), "?explain=true"))).GetProperty("heatMap");
        using var drawing = Decode(map);
        Assert.Equal((16, 16), (drawing.Width, drawing.Height));
        Assert.Equal((16, 16), Size(map.GetProperty("size")));
    }

    [Fact]
    public async Task Images_that_cannot_be_used_are_refused_with_the_reason()
    {
        await using var server = await StartAsync(models.First, "--maximumPixels", "1000");
        byte[] image = Pictures.Png(0);
        Assert.Contains("cut off", await ProblemAsync(server.SendAsync(image[..^20]), 400));
        Assert.Contains("cut off", await ProblemAsync(server.SendAsync(image[..20]), 400));
        Assert.Contains("damaged", await ProblemAsync(server.SendAsync([.. image[..60], .. new byte[40], .. image[100..]]), 400));
        Assert.Contains("40 x 30 pixels, more than the limit of 1,000", await ProblemAsync(server.SendAsync(Pictures.Png(0, width: 40, height: 30)), 400));
        Assert.Contains("TIFF", await ProblemAsync(server.SendAsync([.. "II*\0\b\0\0\0"u8, .. new byte[100]]), 415));
        Assert.Contains("format is unknown", await ProblemAsync(server.Client.PostAsync("predict", Form([.. Enumerable.Repeat((byte)'x', 100)])), 415));
        Assert.Contains("empty", await ProblemAsync(server.SendAsync([]), 400));
    }

    [Fact]
    public async Task Requests_that_are_wrong_are_refused_with_the_reason()
    {
        await using var server = await StartAsync(models.First);
        byte[] image = Pictures.Png(0);
        Assert.Contains("'text/plain'", await ProblemAsync(server.SendAsync(image, type: "text/plain"), 415));
        Assert.Contains("2 files", await ProblemAsync(server.Client.PostAsync("predict", new MultipartFormDataContent { { new ByteArrayContent(image), "a", "a.png" }, { new ByteArrayContent(image), "b", "b.png" } }), 400));
        Assert.Contains("0 files", await ProblemAsync(server.Client.PostAsync("predict", new MultipartFormDataContent { { new StringContent("/etc/passwd"), "image" } }), 400));
        Assert.Contains("form cannot be read", await ProblemAsync(server.SendAsync(image, type: "multipart/form-data"), 400));
        Assert.Contains("no member imageSource", await ProblemAsync(server.Client.PostAsJsonAsync("predict", new { image }), 400));
        Assert.Contains("JSON cannot be read", await ProblemAsync(server.Client.PostAsJsonAsync("predict", new { imageSource = "/etc/passwd!" }), 400));
        Assert.Contains("no class 'orange'", await ProblemAsync(server.SendAsync(image, "?explain=true&class=orange"), 400));
        Assert.Contains("explain", await ProblemAsync(server.SendAsync(image, "?explain=perhaps"), 400));
        using var get = await server.Client.GetAsync("predict");
        Assert.Equal(405, (int)get.StatusCode);
    }

    [Fact]
    public async Task Images_above_the_limit_are_refused()
    {
        byte[] image = Pictures.Png(0, width: 100, height: 100);
        await using var server = await StartAsync(models.First, "--maximumUploadBytes", $"{image.Length}");
        await AnswerAsync(server.SendAsync(image));
        await AnswerAsync(server.Client.PostAsync("predict", Form(image)));
        await AnswerAsync(server.Client.PostAsJsonAsync("predict", new { imageSource = image }));
        byte[] larger = [.. image, 0];
        Assert.Contains("limit", await ProblemAsync(server.SendAsync(larger), 413));
        Assert.Contains("limit", await ProblemAsync(server.Client.PostAsync("predict", Form(larger)), 413));
        Assert.Contains("limit", await ProblemAsync(server.Client.PostAsJsonAsync("predict", new { imageSource = larger }), 413));
        // More than the buffers of a connection: the server has to read what it refuses, or the client cannot read the answer.
        byte[] muchLarger = [.. image, .. new byte[20_000_000]];
        Assert.Contains("limit", await ProblemAsync(server.SendAsync(muchLarger), 413));
        Assert.Contains("limit", await ProblemAsync(server.Client.PostAsync("predict", Form(muchLarger)), 413));
        Assert.Contains("limit", await ProblemAsync(server.Client.PostAsJsonAsync("predict", new { imageSource = muchLarger }), 413));
    }

    [Theory]
    [InlineData("../../model.zip")]
    [InlineData("/etc/passwd")]
    [InlineData("C:\\Windows\\win.ini")]
    public async Task The_name_of_a_file_is_not_used(string name)
    {
        await using var server = await StartAsync(models.First);
        byte[] image = Pictures.Png(1, width: 300, height: 300);
        // More than 64 KiB, from which on ASP.NET Core writes files to a temporary folder unless it is told otherwise. That folder does not exist here.
        Assert.True(image.Length > 100_000);
        var answer = await AnswerAsync(server.Client.PostAsync("predict", Form(image, name)));
        Assert.Equal("green", answer.GetProperty("label").GetString());
        Assert.Equal("model.zip", Path.GetFileName(Assert.Single(Directory.GetFileSystemEntries(Path.GetDirectoryName(server.ModelPath)!))));
    }

    [Theory]
    [InlineData("0")]
    [InlineData("1")]
    public async Task Fifty_requests_at_the_same_time_get_the_scores_of_the_transformer(string threads)
    {
        await using var server = await StartAsync(models.First, "--threads", threads);
        byte[][] images = [.. Enumerable.Range(0, 50).Select(i => Pictures.Png(i % Pictures.Labels.Length, seed: i))];
        var expected = Pictures.Score(models.First, images);
        var answers = await Task.WhenAll(images.Select(image => AnswerAsync(server.SendAsync(image))));
        Assert.All(answers.Zip(expected), pair => Assert.True(Agrees(pair.First, pair.Second), pair.First.ToString()));
    }

    [Fact]
    public async Task Requests_beyond_the_queue_are_told_to_come_later()
    {
        await using var server = await StartAsync(models.First, "--concurrency", "1", "--queueLength", "0");
        // Takes some hundred milliseconds to draw.
        byte[] image = Pictures.Plain(1500, 1500);
        var responses = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => server.SendAsync(image, "?explain=true")));
        Assert.Contains(responses, response => (int)response.StatusCode == 200);
        var refused = responses.First(response => (int)response.StatusCode != 200);
        Assert.NotNull(refused.Headers.RetryAfter);
        Assert.Contains("Try again", await ProblemAsync(Task.FromResult(refused), 503));
        foreach (var response in responses)
            response.Dispose();
    }

    private static (int Width, int Height) Size(JsonElement size) => (size.GetProperty("width").GetInt32(), size.GetProperty("height").GetInt32());

    private static SKBitmap Decode(JsonElement map)
    {
        const string Prefix = "data:image/png;base64,";
        string png = map.GetProperty("png").GetString()!;
        Assert.StartsWith(Prefix, png, StringComparison.Ordinal);
        return SKBitmap.Decode(Convert.FromBase64String(png[Prefix.Length..]));
    }
}
