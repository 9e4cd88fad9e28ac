using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.ML;
using Microsoft.ML.RepVgg;
using RepVgg.Training;
using RepVggNamespace;
using Xunit;
using static RepVgg.Samples.Web.Tests.TestServer;

namespace RepVgg.Samples.Web.Tests;

/// <summary>The web API of the template repvgg-web.</summary>
public sealed class TemplateTests : IAsyncLifetime
{
    private WebApplication _server = null!;
    private HttpClient _client = null!;

    public async Task InitializeAsync()
    {
        Train(seed: 1);
        _server = RepVggNamespace.Program.CreateServer(["--urls", "http://127.0.0.1:0"]);
        await _server.StartAsync();
        _client = new HttpClient { BaseAddress = new Uri(_server.Urls.Single()) };
    }

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _server.StopAsync();
        await _server.DisposeAsync();
        File.Delete(MLModel1.MLNetModelPath);
    }

    [Fact]
    public async Task Images_are_classified_by_several_threads_and_by_a_new_model_when_the_file_changes()
    {
        byte[][] images = [.. Enumerable.Range(0, Pictures.Labels.Length).Select(label => Pictures.Png(label))];
        var first = Expected(images);
        await Task.WhenAll(Enumerable.Range(0, 60).Select(async i =>
        {
            var image = images[i % images.Length];
            var answer = await AnswerAsync(i % 2 == 0 ? _client.PostAsync("predict/file", Form(image)) : _client.PostAsJsonAsync("predict", new { imageSource = image }));
            Assert.Equal(first[i % images.Length], Scores(answer));
            Assert.Equal(first[i % images.Length][0].Key, answer.GetProperty("predictedLabel").GetString());
        }));
        Assert.Equal("Healthy", await _client.GetStringAsync("health"));

        File.WriteAllText(MLModel1.MLNetModelPath, "no model");
        await WaitAsync(async () => await _client.GetStringAsync("health") == "Degraded");
        Assert.Equal(first[0], Scores(await AnswerAsync(_client.PostAsync("predict/file", Form(images[0])))));

        Train(seed: 2);
        var second = Expected(images);
        Assert.NotEqual(first[0], second[0]);
        await WaitAsync(async () => await _client.GetStringAsync("health") == "Healthy");
        Assert.Equal(second[0], Scores(await AnswerAsync(_client.PostAsync("predict/file", Form(images[0])))));

        // A file that is put back is loaded, even if it is the one that was removed and has its time.
        string aside = MLModel1.MLNetModelPath + ".aside";
        File.Move(MLModel1.MLNetModelPath, aside);
        await WaitAsync(async () => await _client.GetStringAsync("health") == "Degraded");
        Assert.Equal(second[0], Scores(await AnswerAsync(_client.PostAsync("predict/file", Form(images[0])))));
        File.Move(aside, MLModel1.MLNetModelPath);
        await WaitAsync(async () => await _client.GetStringAsync("health") == "Healthy");
    }

    [Fact]
    public async Task Requests_that_cannot_be_served_are_explained()
    {
        const int MaximumRequestBytes = 14_000_000;
        byte[] image = Pictures.Png(0);
        Assert.Contains("cut off", await ProblemAsync(_client.PostAsync("predict/file", Form(image[..^20])), 400), StringComparison.Ordinal);
        Assert.Contains("its format is unknown", await ProblemAsync(_client.PostAsJsonAsync("predict", new { imageSource = new byte[100] }), 400), StringComparison.Ordinal);
        Assert.Contains("more than the limit of 50,000,000", await ProblemAsync(_client.PostAsync("predict/file", Form(Pictures.Plain(8000, 7000))), 400), StringComparison.Ordinal);
        Assert.Contains("missing or empty", await ProblemAsync(_client.PostAsJsonAsync("predict", new { }), 400), StringComparison.Ordinal);
        Assert.Contains("missing or empty", await ProblemAsync(_client.PostAsJsonAsync("predict", new { imageSource = (byte[]?)null }), 400), StringComparison.Ordinal);
        Assert.Contains("was not provided from body", await ProblemAsync(_client.PostAsJsonAsync("predict", (object?)null), 400), StringComparison.Ordinal);
        Assert.Contains("several files", await ProblemAsync(_client.PostAsync("predict/file", new MultipartFormDataContent { { new ByteArrayContent(image), "image", "a.png" }, { new ByteArrayContent(image), "image", "b.png" } }), 400), StringComparison.Ordinal);
        Assert.Contains("cut off", await ProblemAsync(_client.PostAsync("predict/file", new StringContent("text") { Headers = { ContentType = MediaTypeHeaderValue.Parse("multipart/form-data; boundary=x") } }), 400), StringComparison.Ordinal);
        Assert.Contains("$.imageSource", await ProblemAsync(_client.PostAsJsonAsync("predict", new { imageSource = "?" }), 400), StringComparison.Ordinal);
        Assert.Contains("IFormFile image", await ProblemAsync(_client.PostAsync("predict/file", new MultipartFormDataContent { { new ByteArrayContent(image), "other", "a.png" } }), 400), StringComparison.Ordinal);
        // A request of a known size is refused before its content is sent; one of an unknown size, when it has become too large.
        using var form = new HttpRequestMessage(HttpMethod.Post, "predict/file") { Content = Form(new byte[MaximumRequestBytes]) };
        form.Headers.ExpectContinue = true;
        Assert.Contains("14000000 bytes", await ProblemAsync(_client.SendAsync(form), 413), StringComparison.Ordinal);
        Assert.Contains("14000000 bytes", await ProblemAsync(_client.PostAsJsonAsync("predict", new { imageSource = new byte[MaximumRequestBytes * 2] }), 413), StringComparison.Ordinal);
        foreach (string path in new[] { "predict", "predict/file" })
            Assert.Contains("application/json", await ProblemAsync(_client.PostAsync(path, new ByteArrayContent(image) { Headers = { ContentType = new MediaTypeHeaderValue("image/png") } }), 415), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_OpenAPI_description_has_both_ways_to_send_an_image()
    {
        var paths = (await _client.GetFromJsonAsync<JsonElement>("openapi/v1.json")).GetProperty("paths");
        Assert.True(Content(paths, "/predict").TryGetProperty("application/json", out _));
        Assert.True(Content(paths, "/predict/file").TryGetProperty("multipart/form-data", out _));

        static JsonElement Content(JsonElement paths, string path) => paths.GetProperty(path).GetProperty("post").GetProperty("requestBody").GetProperty("content");
    }

    private static void Train(int seed)
    {
        var context = new MLContext(seed);
        var rows = Enumerable.Range(0, 60).Select(i => new MLModel1.ModelInput { ImageSource = Pictures.Png(i % Pictures.Labels.Length, 100 + i), Label = Pictures.Labels[i % Pictures.Labels.Length] });
        var data = context.Data.LoadFromEnumerable(rows.ToList());
        var options = new RepVggTrainer.Options { FeatureColumnName = "ImageSource", Architecture = "RepVGG-S0", ImageHeight = 16, Epochs = 2, BatchSize = 12, ValidationSetFraction = 0, Augmentation = Augmentation.None, Seed = seed };
        using var model = context.Transforms.Conversion.MapValueToKey("Label")
            .Append(context.MulticlassClassification.Trainers.RepVgg(options))
            .Append(context.Transforms.Conversion.MapKeyToValue("PredictedLabel")).Fit(data);
        MLModel1.SaveModel(context, model, data, MLModel1.MLNetModelPath);
    }

    /// <summary>Gets the scores of the five most probable classes of each image from the model as it is saved, by <see cref="RepVggTransformer"/>.</summary>
    private static List<KeyValuePair<string, float>>[] Expected(byte[][] images)
    {
        var context = new MLContext();
        using var model = context.Model.LoadRepVgg(MLModel1.MLNetModelPath, out _);
        var classifier = model.OfType<RepVggTransformer>().Single();
        var scored = classifier.Transform(context.Data.LoadFromEnumerable(images.Select(image => new MLModel1.ModelInput { ImageSource = image }).ToList()));
        return [.. Microsoft.ML.Data.ColumnCursorExtensions.GetColumn<float[]>(scored, "Score").Select(scores => classifier.Labels.Zip(scores, KeyValuePair.Create).OrderByDescending(pair => pair.Value).Take(5).ToList())];
    }

    private static List<KeyValuePair<string, float>> Scores(JsonElement answer) =>
        [.. answer.GetProperty("scores").EnumerateArray().Select(entry => KeyValuePair.Create(entry.GetProperty("label").GetString()!, entry.GetProperty("score").GetSingle()))];

    private static async Task WaitAsync(Func<Task<bool>> condition)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        while (!await condition())
            await Task.Delay(50, limit.Token);
    }
}
