using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Samples.Web.Tests;

/// <summary>Two trained models, which all tests of a class use.</summary>
public sealed class Models : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public Models()
    {
        // A request that wrote a temporary file would fail.
        Environment.SetEnvironmentVariable("ASPNETCORE_TEMP", _folder.File("does-not-exist"));
        Pictures.Train(First, seed: 1);
        Pictures.Train(Second, seed: 2);
    }

    public string First => _folder.File("first.zip");

    public string Second => _folder.File("second.zip");

    public void Dispose() => _folder.Dispose();
}

/// <summary>A server with a model of its own, on a free port.</summary>
internal sealed class TestServer : IAsyncDisposable
{
    private readonly TemporaryFolder _folder;

    private TestServer(TemporaryFolder folder, WebApplication application)
    {
        (_folder, Application) = (folder, application);
        Client = new HttpClient { BaseAddress = new Uri(application.Urls.Single()) };
    }

    public WebApplication Application { get; }

    public HttpClient Client { get; }

    public string ModelPath => _folder.File("model.zip");

    public static async Task<TestServer> StartAsync(string model, params string[] arguments)
    {
        var folder = new TemporaryFolder();
        File.Copy(model, folder.File("model.zip"));
        var application = PredictionServer.Create(["--model", folder.File("model.zip"), "--urls", "http://127.0.0.1:0", "--reloadInterval", "00:00:00.05", "--queueLength", "1000", .. arguments]);
        await application.StartAsync();
        return new TestServer(folder, application);
    }

    /// <summary>Sends the content of an image file.</summary>
    public Task<HttpResponseMessage> SendAsync(byte[] image, string query = "", string type = "image/png") =>
        Client.PostAsync($"predict{query}", new ByteArrayContent(image) { Headers = { ContentType = new MediaTypeHeaderValue(type) } });

    public static MultipartFormDataContent Form(byte[] image, string fileName = "picture.png") => new() { { new ByteArrayContent(image), "image", fileName } };

    public static async Task<JsonElement> AnswerAsync(Task<HttpResponseMessage> request)
    {
        using var response = await request;
        Assert.True(response.StatusCode == HttpStatusCode.OK, await response.Content.ReadAsStringAsync());
        return await response.Content.ReadFromJsonAsync<JsonElement>();
    }

    public static async Task<string> ProblemAsync(Task<HttpResponseMessage> request, int status)
    {
        using var response = await request;
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        var problem = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal(status, problem.GetProperty("status").GetInt32());
        return problem.GetProperty("detail").GetString()!;
    }

    public async Task<JsonElement> HealthAsync() => await AnswerAsync(Client.GetAsync("health"));

    /// <summary>Waits until the state of the server fulfils a condition.</summary>
    public async Task WaitAsync(Func<JsonElement, bool> condition)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (!condition(await HealthAsync()))
            await Task.Delay(20, limit.Token);
    }

    /// <summary>Whether an answer has the probabilities of a model.</summary>
    public static bool Agrees(JsonElement answer, Dictionary<string, float> expected) =>
        answer.GetProperty("predictions").EnumerateArray().All(entry => entry.GetProperty("probability").GetSingle() == expected[entry.GetProperty("label").GetString()!]);

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await Application.StopAsync();
        await Application.DisposeAsync();
        _folder.Dispose();
    }
}
