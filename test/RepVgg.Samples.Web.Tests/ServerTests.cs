using System.Net;
using Microsoft.ML;
using RepVgg.Samples.Web.Settings;
using RepVgg.Testing;
using Xunit;
using static RepVgg.Samples.Web.Tests.TestServer;

namespace RepVgg.Samples.Web.Tests;

public sealed class ServerTests(Models models) : IClassFixture<Models>
{
    [Fact]
    public async Task A_changed_model_is_loaded_while_requests_are_served()
    {
        await using var server = await StartAsync(models.First);
        byte[] image = Pictures.Png(0);
        var first = Pictures.Score(models.First, [image]).Single();
        var second = Pictures.Score(models.Second, [image]).Single();
        Assert.NotEqual(first, second);
        using var stop = new CancellationTokenSource();
        int answered = 0;
        var clients = Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                var answer = await AnswerAsync(server.SendAsync(image));
                Assert.True(Agrees(answer, first) || Agrees(answer, second), answer.ToString());
                Interlocked.Increment(ref answered);
            }
        })).ToArray();
        for (int i = 0; i < 6; i++)
        {
            var loaded = (await server.HealthAsync()).GetProperty("loadedAt").GetDateTimeOffset();
            Replace(i % 2 == 0 ? models.Second : models.First, server.ModelPath, i);
            await server.WaitAsync(health => health.GetProperty("loadedAt").GetDateTimeOffset() > loaded);
            Assert.True(Agrees(await AnswerAsync(server.SendAsync(image)), i % 2 == 0 ? second : first));
        }
        await stop.CancelAsync();
        await Task.WhenAll(clients);
        Assert.True(answered > 20, $"Only {answered} requests were answered.");
    }

    [Fact]
    public async Task A_damaged_model_does_not_replace_the_one_that_is_loaded()
    {
        await using var server = await StartAsync(models.First);
        await File.WriteAllTextAsync(server.ModelPath, "damaged");
        await server.WaitAsync(health => health.GetProperty("reloadFailed").GetBoolean());
        Assert.Equal("red", (await AnswerAsync(server.SendAsync(Pictures.Png(0)))).GetProperty("label").GetString());
        File.Delete(server.ModelPath);
        await Task.Delay(200);
        Assert.Equal("ok", (await server.HealthAsync()).GetProperty("status").GetString());
        Replace(models.Second, server.ModelPath, 1);
        await server.WaitAsync(health => !health.GetProperty("reloadFailed").GetBoolean());
    }

    [Fact]
    public async Task The_state_names_the_model_and_the_limits()
    {
        var before = DateTimeOffset.UtcNow;
        await using var server = await StartAsync(models.First, "--maximumUploadBytes", "12345");
        var health = await server.HealthAsync();
        Assert.Equal("ok", health.GetProperty("status").GetString());
        Assert.Equal("model.zip", health.GetProperty("model").GetString());
        Assert.Equal("Tiny", health.GetProperty("architecture").GetString());
        Assert.Equal(Pictures.Labels.Order(), health.GetProperty("classes").EnumerateArray().Select(name => name.GetString()!).Order());
        Assert.InRange(health.GetProperty("loadedAt").GetDateTimeOffset(), before, DateTimeOffset.UtcNow);
        Assert.Equal(12345, health.GetProperty("maximumUploadBytes").GetInt32());
    }

    [Fact]
    public async Task The_page_loads_nothing_from_elsewhere()
    {
        await using var server = await StartAsync(models.First);
        foreach (string path in new[] { "", "page.css", "page.js" })
        {
            using var response = await server.Client.GetAsync(path);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.Contains("default-src 'none'", response.Headers.GetValues("Content-Security-Policy").Single());
            Assert.DoesNotContain("//", (await response.Content.ReadAsStringAsync()).Replace("// ", "", StringComparison.Ordinal));
        }
        using var missing = await server.Client.GetAsync("..%2f..%2fetc%2fpasswd");
        Assert.Equal(HttpStatusCode.NotFound, missing.StatusCode);
    }

    [Fact]
    public async Task The_API_is_described()
    {
        await using var server = await StartAsync(models.First);
        var description = await AnswerAsync(server.Client.GetAsync("openapi.json"));
        var predict = description.GetProperty("paths").GetProperty("/predict").GetProperty("post");
        Assert.Equal(["multipart/form-data", "application/json", "image/*", "application/octet-stream"], predict.GetProperty("requestBody").GetProperty("content").EnumerateObject().Select(type => type.Name));
        Assert.Equal(["explain", "class"], predict.GetProperty("parameters").EnumerateArray().Select(parameter => parameter.GetProperty("name").GetString()));
        Assert.Equal(["200", "400", "413", "415", "503"], predict.GetProperty("responses").EnumerateObject().Select(response => response.Name).Order());
        Assert.True(description.GetProperty("paths").TryGetProperty("/health", out _));
    }

    [Fact]
    public async Task A_request_that_has_begun_is_answered_when_the_server_stops()
    {
        await using var server = await StartAsync(models.First);
        var content = new HeldContent(Pictures.Png(0));
        using var request = new HttpRequestMessage(HttpMethod.Post, "predict") { Content = content, Headers = { ExpectContinue = true } };
        using var client = new HttpClient(new SocketsHttpHandler { Expect100ContinueTimeout = TimeSpan.FromMinutes(1) }) { BaseAddress = server.Client.BaseAddress };
        var answer = AnswerAsync(client.SendAsync(request));
        // The server asks for the content when it begins to read it.
        await content.Begun.WaitAsync(TimeSpan.FromSeconds(20));
        var stopped = server.Application.StopAsync();
        await Task.Delay(100);
        Assert.False(stopped.IsCompleted);
        content.Release();
        Assert.Equal("red", (await answer).GetProperty("label").GetString());
        await stopped.WaitAsync(TimeSpan.FromSeconds(20));
    }

    [Fact]
    public void A_wrong_command_line_is_explained()
    {
        Assert.Contains("repvgg train", Assert.Throws<UsageException>(() => PredictionServer.Create([])).Message);
        Assert.Contains("MaximumPixels", Assert.Throws<UsageException>(() => PredictionServer.Create(["--model", models.First, "--maximumPixels", "many"])).Message);
        Assert.Contains("QueueLength is -1", Assert.Throws<UsageException>(() => PredictionServer.Create(["--model", models.First, "--queueLength", "-1"])).Message);
    }

    [Fact]
    public void A_file_that_is_no_model_for_images_is_refused_at_the_start()
    {
        using var folder = new TemporaryFolder();
        Assert.Throws<FileNotFoundException>(() => PredictionServer.Create(["--model", folder.File("missing.zip")]));
        Assert.Throws<InvalidDataException>(() => PredictionServer.Create(["--model", folder.Write("text.zip", [1, 2, 3])]));
        var context = new MLContext();
        var data = context.Data.LoadFromEnumerable([new { Text = "a" }]);
        context.Model.Save(context.Transforms.Conversion.MapValueToKey("Text").Fit(data), data.Schema, folder.File("other.zip"));
        Assert.Throws<InvalidDataException>(() => PredictionServer.Create(["--model", folder.File("other.zip")]));
    }

    /// <summary>Replaces a file at once, as <c>SaveRepVgg</c> does.</summary>
    private static void Replace(string source, string target, int minutes)
    {
        File.Copy(source, target + ".new");
        // The models have the same length, and some file systems round the time.
        File.SetLastWriteTimeUtc(target + ".new", DateTime.UtcNow.AddMinutes(minutes));
        File.Move(target + ".new", target, overwrite: true);
    }

    /// <summary>Content that is sent when the test says so.</summary>
    private sealed class HeldContent(byte[] image) : HttpContent
    {
        private readonly TaskCompletionSource _begun = new(), _released = new();

        public Task Begun => _begun.Task;

        public void Release() => _released.SetResult();

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            _begun.SetResult();
            await _released.Task;
            await stream.WriteAsync(image);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = image.Length;
            Headers.ContentType = new("image/png");
            return true;
        }
    }
}
