using System.Collections.Concurrent;
using Microsoft.Playwright;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Samples.Web.Tests;

/// <summary>A fact that needs the browser Chromium. Where there is none, it is reported as skipped.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class BrowserFactAttribute : FactAttribute
{
    public BrowserFactAttribute() => Skip = Browser.WhyMissing;
}

/// <summary>A theory that needs the browser Chromium. Where there is none, it is reported as skipped.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class BrowserTheoryAttribute : TheoryAttribute
{
    public BrowserTheoryAttribute() => Skip = Browser.WhyMissing;
}

/// <summary>Chromium with a camera that shows a test pattern, and a server with a trained model. All tests of a class use both.</summary>
public sealed class Browser : IAsyncLifetime
{
    public const int MaximumUploadBytes = 1_000_000, MaximumPixels = 1_000_000;

    /// <summary>Milliseconds after which a test fails that waits for something on the page. The machine can be busy.</summary>
    private const float Limit = 60_000;

    /// <summary>The program of the browser that is installed; null if there is none.</summary>
    private static readonly string? _executable = Environment.GetEnvironmentVariable("REPVGG_TEST_CHROMIUM") is { Length: > 0 } path ? path : Find("chromium", "chromium-browser", "google-chrome", "google-chrome-stable");

    private readonly TemporaryFolder _folder = new();
    private ServerProgram? _server;
    private IPlaywright? _playwright;
    private IBrowser? _chromium;

    /// <summary>Why there is no browser; null if there is one.</summary>
    public static string? WhyMissing => _executable is null
        ? "Chromium is not installed. Install it (Debian: apt-get install chromium), or name the program of Chromium or Chrome in the environment variable REPVGG_TEST_CHROMIUM."
        : null;

    public string ModelPath => _folder.File("model.zip");

    public Uri Address { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        if (WhyMissing is not null)
            return;
        Pictures.Train(ModelPath, seed: 1);
        (_server, Address) = await ServerProgram.StartAsync("--model", ModelPath, "--maximumUploadBytes", $"{MaximumUploadBytes}", "--maximumPixels", $"{MaximumPixels}");
        _playwright = await Playwright.CreateAsync();
        _chromium = await _playwright.Chromium.LaunchAsync(new()
        {
            ExecutablePath = _executable,
            // No name of a host is resolved: nothing of the browser reaches the network.
            Args = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
        });
        Assertions.SetDefaultExpectTimeout(Limit);
    }

    /// <summary>Opens the page in a new session of the browser and, at the end, asserts that no script failed and that nothing was requested from another host.</summary>
    /// <param name="visit">What is done on the page.</param>
    /// <param name="options">Size, colours and the like.</param>
    /// <param name="script">Runs before the scripts of the page.</param>
    public async Task VisitAsync(Func<IPage, Task> visit, BrowserNewContextOptions? options = null, string? script = null)
    {
        options ??= new();
        // The numbers of this locale have commas, but the page is in English everywhere.
        options.Locale = "de-DE";
        await using var context = await _chromium!.NewContextAsync(options);
        context.SetDefaultTimeout(Limit);
        var page = await context.NewPageAsync();
        // With the first handler, Playwright asks the browser for file choosers, and does not wait for it; a key pressed at once could open one that is not reported.
        page.FileChooser += (_, _) => { };
        var failures = new ConcurrentQueue<string>();
        page.PageError += (_, error) => failures.Enqueue(error);
        page.Console += (_, message) =>
        {
            // An answer such as 400 is such a message, too.
            if (message.Type == "error" && !message.Text.StartsWith("Failed to load resource", StringComparison.Ordinal))
                failures.Enqueue(message.Text);
        };
        context.Request += (_, request) =>
        {
            var address = new Uri(request.Url);
            if (address.Scheme is not ("data" or "blob") && address.Authority != Address.Authority)
                failures.Enqueue($"A request to {address}");
        };
        if (script is not null)
            await page.AddInitScriptAsync(script);
        await page.GotoAsync(Address.AbsoluteUri);
        await Assertions.Expect(page.Locator("#model")).ToHaveTextAsync("Tiny, 6 classes (model.zip)");
        await visit(page);
        Assert.Empty(failures);
    }

    public async Task DisposeAsync()
    {
        if (_chromium is not null)
            await _chromium.DisposeAsync();
        _playwright?.Dispose();
        _server?.Dispose();
        _folder.Dispose();
    }

    private static string? Find(params string[] names)
    {
        string[] folders = Environment.GetEnvironmentVariable("PATH")?.Split(Path.PathSeparator) ?? [];
        return names.SelectMany(name => folders.Select(folder => Path.Combine(folder, name))).FirstOrDefault(File.Exists);
    }
}
