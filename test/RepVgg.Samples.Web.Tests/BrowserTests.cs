using System.Text.Json;
using System.Text.RegularExpressions;
using Deque.AxeCore.Playwright;
using Microsoft.Playwright;
using RepVgg.Testing;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace RepVgg.Samples.Web.Tests;

/// <summary>The page in Chromium, driven by Playwright. The server was started by <c>dotnet run</c>.</summary>
public sealed class BrowserTests(Browser browser) : IClassFixture<Browser>
{
    [BrowserFact]
    public Task A_chosen_file_is_classified_and_explained() => browser.VisitAsync(async page =>
    {
        byte[] image = Pictures.Png(3);
        await ChooseAsync(page, image);
        await ShowsAsync(page, image);
        await Expect(page.Locator("#facts")).ToContainTextAsync("24 × 20 pixels");
        foreach (string picture in new[] { "#picture", "#heatmap" })
            Assert.Equal("24 x 20", await page.Locator(picture).EvaluateAsync<string>("async image => { await image.decode(); return `${image.naturalWidth} x ${image.naturalHeight}`; }"));

        // The evidence for another class.
        string before = (await page.Locator("#heatmap").GetAttributeAsync("src"))!;
        var second = Classes(page).Nth(1);
        string name = (await second.Locator(".name").TextContentAsync())!;
        await second.ClickAsync();
        await Expect(page.Locator("#explained")).ToContainTextAsync(name);
        await Expect(second).ToHaveAttributeAsync("aria-pressed", "true");
        await Expect(Classes(page).First).ToHaveAttributeAsync("aria-pressed", "false");
        Assert.NotEqual(before, await page.Locator("#heatmap").GetAttributeAsync("src"));
    });

    [BrowserFact]
    public Task A_dropped_file_is_classified() => browser.VisitAsync(async page =>
    {
        byte[] image = Pictures.Png(1);
        await using var files = await FilesAsync(page, image);
        var target = page.Locator("#drop");
        await target.DispatchEventAsync("dragover", new { dataTransfer = files });
        await Expect(target).ToHaveClassAsync("over");
        await target.DispatchEventAsync("drop", new { dataTransfer = files });
        await Expect(target).Not.ToHaveClassAsync("over");
        await ShowsAsync(page, image);

        await using var two = await FilesAsync(page, image, image);
        await target.DispatchEventAsync("drop", new { dataTransfer = two });
        await Expect(page.GetByRole(AriaRole.Alert)).ToHaveTextAsync("Choose one image at a time.");
    });

    [BrowserFact]
    public Task A_pasted_image_is_classified() => browser.VisitAsync(async page =>
    {
        byte[] image = Pictures.Png(5);
        await using var files = await FilesAsync(page, image);
        await files.EvaluateAsync("files => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: files }))");
        await ShowsAsync(page, image);
    });

    [BrowserFact]
    public Task A_picture_of_the_camera_is_classified() => browser.VisitAsync(async page =>
    {
        var video = page.Locator("#video");
        await OpenCameraAsync(page);
        var camera = await video.EvaluateHandleAsync("video => video.srcObject.getTracks()[0]");
        string size = await video.EvaluateAsync<string>("video => `${video.videoWidth} × ${video.videoHeight} pixels`");
        await page.GetByRole(AriaRole.Button, new() { Name = "Take the picture" }).ClickAsync();
        await Expect(Classes(page)).ToHaveCountAsync(5);
        await Expect(page.Locator("#facts")).ToContainTextAsync(size);
        await Expect(video).ToBeHiddenAsync();
        Assert.Equal("ended", await camera.EvaluateAsync<string>("track => track.readyState"));

        // The camera can be used again, and be closed without a picture.
        await OpenCameraAsync(page);
        await page.GetByRole(AriaRole.Button, new() { Name = "Close" }).ClickAsync();
        await Expect(video).ToBeHiddenAsync();
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Use the camera" })).ToBeEnabledAsync();
    });

    [BrowserFact]
    public Task A_camera_that_is_refused_is_a_message() => browser.VisitAsync(async page =>
    {
        await page.GetByRole(AriaRole.Button, new() { Name = "Use the camera" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Alert)).ToHaveTextAsync("The camera cannot be used: Permission denied");
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Use the camera" })).ToBeEnabledAsync();
    }, script: "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('Permission denied', 'NotAllowedError'));");

    [BrowserFact]
    public Task Files_that_cannot_be_used_are_a_message() => browser.VisitAsync(async page =>
    {
        byte[] image = Pictures.Png(0);
        var message = page.GetByRole(AriaRole.Alert);
        (byte[] File, string Message)[] wrong =
        [
            ("This is text."u8.ToArray(), "format is unknown"),
            (image[..^20], "cut off"),
            ([], "The image is empty."),
            (Pictures.Plain(1001, 1000), "1001 x 1000 pixels, more than the limit of 1,000,000"),
            ([.. image, .. new byte[Browser.MaximumUploadBytes + 1 - image.Length]], "The image has 1,000,001 bytes; the limit is 1,000,000."),
        ];
        foreach (var (file, text) in wrong)
        {
            // Each message follows a result, which it replaces.
            await ChooseAsync(page, image);
            await ShowsAsync(page, image);
            await Expect(message).ToBeHiddenAsync();
            await ChooseAsync(page, file);
            await Expect(message).ToContainTextAsync(text);
            await Expect(page.Locator("#result")).ToBeHiddenAsync();
            await Expect(page.GetByRole(AriaRole.Status)).ToBeHiddenAsync();
        }
    });

    [BrowserFact]
    public Task A_server_that_cannot_be_reached_is_a_message() => browser.VisitAsync(async page =>
    {
        byte[] image = Pictures.Png(2);
        await page.Context.SetOfflineAsync(true);
        await ChooseAsync(page, image);
        await Expect(page.GetByRole(AriaRole.Alert)).ToHaveTextAsync("The server cannot be reached.");
        await page.Context.SetOfflineAsync(false);
        await ChooseAsync(page, image);
        await ShowsAsync(page, image);
    });

    [BrowserFact]
    public Task The_page_works_while_fifty_requests_are_answered() => browser.VisitAsync(async page =>
    {
        byte[][] images = [.. Enumerable.Range(0, 50).Select(i => Pictures.Png(i % Pictures.Labels.Length, seed: i))];
        var expected = Pictures.Score(browser.ModelPath, images);
        var answers = page.EvaluateAsync<JsonElement>("""
            images => Promise.all(images.map(async image => {
                const body = Uint8Array.from(atob(image), byte => byte.charCodeAt(0));
                const response = await fetch('predict', { method: 'POST', headers: { 'Content-Type': 'image/png' }, body });
                return response.json();
            }))
            """, images.Select(Convert.ToBase64String));
        byte[] image = Pictures.Png(4);
        await ChooseAsync(page, image);
        await ShowsAsync(page, image);
        await Classes(page).Nth(2).ClickAsync();
        await Expect(Classes(page).Nth(2)).ToHaveAttributeAsync("aria-pressed", "true");
        Assert.All((await answers).EnumerateArray().Zip(expected), pair => Assert.True(TestServer.Agrees(pair.First, pair.Second), pair.First.ToString()));
    });

    [BrowserFact]
    public Task The_keyboard_is_enough() => browser.VisitAsync(async page =>
    {
        byte[] image = Pictures.Png(1);
        await page.Keyboard.PressAsync("Tab");
        await Expect(page.GetByLabel("Choose a file")).ToBeFocusedAsync();
        var chooser = await page.RunAndWaitForFileChooserAsync(() => page.Keyboard.PressAsync("Enter"));
        await chooser.SetFilesAsync(File(image));
        await ShowsAsync(page, image);

        await page.Keyboard.PressAsync("Tab");
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Use the camera" })).ToBeFocusedAsync();
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Take the picture" })).ToBeFocusedAsync();
        await page.Keyboard.PressAsync("Tab");
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Use the camera" })).ToBeFocusedAsync();

        await page.Keyboard.PressAsync("Tab");
        await page.Keyboard.PressAsync("Tab");
        await Expect(Classes(page).Nth(1)).ToBeFocusedAsync();
        await page.Keyboard.PressAsync("Space");
        // The list is made again; the focus stays on the class.
        await Expect(Classes(page).Nth(1)).ToHaveAttributeAsync("aria-pressed", "true");
        await Expect(Classes(page).Nth(1)).ToBeFocusedAsync();
    });

    /// <summary>The rules are those of axe-core: names of controls and images, roles, landmarks, contrast and the like.</summary>
    [BrowserTheory]
    [InlineData(ColorScheme.Light, 1)]
    [InlineData(ColorScheme.Dark, 0)]
    public Task The_page_is_accessible_in_both_colour_schemes(ColorScheme scheme, int ground) => browser.VisitAsync(async page =>
    {
        int[] channels = [.. Regex.Matches(await page.EvaluateAsync<string>("getComputedStyle(document.body).backgroundColor"), @"\d+").Select(match => int.Parse(match.Value, System.Globalization.CultureInfo.InvariantCulture))];
        Assert.All(channels, channel => Assert.Equal(ground, channel / 128));
        await IsAccessibleAsync(page);
        await OpenCameraAsync(page);
        await IsAccessibleAsync(page);
        await page.GetByRole(AriaRole.Button, new() { Name = "Close" }).ClickAsync();
        await ChooseAsync(page, Pictures.Png(2));
        await Expect(Classes(page)).ToHaveCountAsync(5);
        await IsAccessibleAsync(page);
        await ChooseAsync(page, [1, 2, 3]);
        await Expect(page.GetByRole(AriaRole.Alert)).ToBeVisibleAsync();
        await IsAccessibleAsync(page);
    }, new() { ColorScheme = scheme });

    [BrowserFact]
    public Task A_narrow_window_shows_everything_without_scrolling_sideways() => browser.VisitAsync(async page =>
    {
        const int Width = 360;
        // Names of classes come from folders: they can be long, and are no markup.
        const string Name = "Doppelkupplungsgetriebesteuergerätehersteller/Donaudampfschifffahrt <img src=x onerror=fail()>";
        await page.RouteAsync("**/predict?*", async route =>
        {
            var answer = await route.FetchAsync();
            await route.FulfillAsync(new() { Response = answer, Body = (await answer.TextAsync()).Replace("\"blue\"", JsonSerializer.Serialize(Name), StringComparison.Ordinal) });
        });
        await FitsAsync();
        await OpenCameraAsync(page);
        await FitsAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Close" }).ClickAsync();
        await ChooseAsync(page, Pictures.Png(2));
        await Expect(Classes(page).First.Locator(".name")).ToHaveTextAsync(Name);
        await Expect(page.Locator("#explained")).ToContainTextAsync(Name);
        await FitsAsync();
        await ChooseAsync(page, Pictures.Plain(1001, 1000));
        await Expect(page.GetByRole(AriaRole.Alert)).ToBeVisibleAsync();
        await FitsAsync();

        async Task FitsAsync()
        {
            Assert.Equal(Width, await page.EvaluateAsync<int>("document.documentElement.scrollWidth"));
            string[] outside = await page.EvaluateAsync<string[]>("""
                [...document.querySelectorAll('body *')]
                    .filter(element => element.getBoundingClientRect().right > innerWidth || element.getBoundingClientRect().left < 0)
                    .map(element => element.outerHTML)
                """);
            Assert.Empty(outside);
        }
    }, new() { ViewportSize = new() { Width = 360, Height = 740 } });

    private static ILocator Classes(IPage page) => page.GetByRole(AriaRole.Region, new() { Name = "Result" }).GetByRole(AriaRole.Button);

    private static FilePayload File(byte[] content) => new() { Name = "picture.png", MimeType = "image/png", Buffer = content };

    private static Task ChooseAsync(IPage page, byte[] file) => page.GetByLabel("Choose a file").SetInputFilesAsync(File(file));

    /// <summary>Makes the files of a drop or of the clipboard.</summary>
    private static Task<IJSHandle> FilesAsync(IPage page, params byte[][] files) => page.EvaluateHandleAsync("""
        files => {
            const result = new DataTransfer();
            for (const file of files)
                result.items.add(new File([Uint8Array.from(atob(file), byte => byte.charCodeAt(0))], 'picture.png', { type: 'image/png' }));
            return result;
        }
        """, files.Select(Convert.ToBase64String));

    private static async Task OpenCameraAsync(IPage page)
    {
        await page.GetByRole(AriaRole.Button, new() { Name = "Use the camera" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Region, new() { Name = "Camera" })).ToBeVisibleAsync();
    }

    private static async Task IsAccessibleAsync(IPage page) =>
        Assert.Empty((await page.RunAxe()).Violations.Select(violation => $"{violation.Help}: {string.Join(", ", violation.Nodes.Select(node => node.Html))}"));

    /// <summary>Asserts that the page shows what the transformer computes for an image.</summary>
    private async Task ShowsAsync(IPage page, byte[] image)
    {
        KeyValuePair<string, float>[] expected = [.. Pictures.Score(browser.ModelPath, [image]).Single().OrderByDescending(score => score.Value).Take(5)];
        await Expect(Classes(page).Locator(".name")).ToHaveTextAsync(expected.Select(score => score.Key));
        await Expect(Classes(page).Locator(".probability")).ToHaveTextAsync(expected.Select(score => Percent(score.Value)));
        await Expect(page.Locator("#explained")).ToHaveTextAsync($"{expected[0].Key} ({Percent(expected[0].Value)})");
        double[] widths = await Classes(page).EvaluateAllAsync<double[]>("buttons => buttons.map(button => button.querySelector('.bar').offsetWidth / button.clientWidth)");
        Assert.All(widths.Zip(expected), pair => Assert.Equal(pair.Second.Value, pair.First, 0.01));
    }

    private static string Percent(float probability) => probability < 0.0005 ? "< 0.1%" : FormattableString.Invariant($"{100.0 * probability:f1}%");
}
