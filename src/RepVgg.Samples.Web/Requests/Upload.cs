using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;
using RepVgg.Samples.Web.Settings;

namespace RepVgg.Samples.Web.Requests;

/// <summary>Reads the image of a request: a form with one file, JSON, or the content of an image file. Nothing is written to the disk.</summary>
internal static class Upload
{
    private const int MaximumOverhead = 64 * 1024;

    /// <summary>Gets the largest size of a request: that of the image in base64, and what stands around it.</summary>
    public static long MaximumBodyBytes(ServerOptions options) => (options.MaximumUploadBytes + 2L) / 3 * 4 + MaximumOverhead;

    /// <summary>Reads the content of the image file.</summary>
    /// <exception cref="BadHttpRequestException">The request has no image, several, or one that is too large.</exception>
    public static async Task<byte[]> ReadAsync(HttpRequest request, ServerOptions options, CancellationToken cancellation)
    {
        string type = request.ContentType?.Split(';')[0].Trim().ToLowerInvariant() ?? "";
        byte[] image = await ReadAsync(request, type, options, cancellation);
        if (image.Length == 0)
            throw new BadHttpRequestException("The image is empty.");
        return image.Length <= options.MaximumUploadBytes ? image : throw TooLarge(options);
    }

    private static async Task<byte[]> ReadAsync(HttpRequest request, string type, ServerOptions options, CancellationToken cancellation) =>
        type switch
        {
            "multipart/form-data" => await ReadFormAsync(request, options, cancellation),
            "application/json" => ReadJson(await ReadBodyAsync(request, options, cancellation)),
            _ when type == "application/octet-stream" || type.StartsWith("image/", StringComparison.Ordinal) => await ReadBodyAsync(request, options, cancellation),
            _ => throw new BadHttpRequestException(
                $"The content type is '{type}'. Send multipart/form-data with one file, application/json with the member imageSource, or the content of an image file as image/jpeg, image/png or the like.",
                StatusCodes.Status415UnsupportedMediaType),
        };

    private static async Task<byte[]> ReadFormAsync(HttpRequest request, ServerOptions options, CancellationToken cancellation)
    {
        request.Body = new MemoryStream(await ReadBodyAsync(request, options, cancellation));
        // Files up to the threshold stay in memory, and the body is no larger.
        int maximum = (int)Math.Min(MaximumBodyBytes(options), int.MaxValue);
        IFormCollection form;
        try
        {
            form = await request.ReadFormAsync(new FormOptions { MemoryBufferThreshold = maximum, MultipartBodyLengthLimit = maximum }, cancellation);
        }
        catch (Exception error) when (error is InvalidDataException or IOException and not BadHttpRequestException)
        {
            throw new BadHttpRequestException($"The form cannot be read: {error.Message}", error);
        }
        if (form.Files.Count != 1)
            throw new BadHttpRequestException(FormattableString.Invariant($"The form has {form.Files.Count} files; send one."));
        var file = form.Files[0];
        if (file.Length > options.MaximumUploadBytes)
            throw TooLarge(options);
        byte[] image = new byte[file.Length];
        await using var content = file.OpenReadStream();
        await content.ReadExactlyAsync(image, cancellation);
        return image;
    }

    private static byte[] ReadJson(byte[] body)
    {
        try
        {
            var json = JsonSerializer.Deserialize<ImageJson>(body, JsonSerializerOptions.Web);
            return json?.ImageSource ?? throw new BadHttpRequestException("The JSON object has no member imageSource: the content of an image file in base64.");
        }
        catch (JsonException error)
        {
            throw new BadHttpRequestException($"The JSON cannot be read: {error.Message}", error);
        }
    }

    /// <summary>Reads the body up to the limit. The server reads the rest of a larger one for some seconds and drops it.</summary>
    /// <remarks>With its own limit the server would end the connection at once, while the client still sends, and the client would not get the answer.</remarks>
    private static async Task<byte[]> ReadBodyAsync(HttpRequest request, ServerOptions options, CancellationToken cancellation)
    {
        long maximum = MaximumBodyBytes(options);
        if (request.ContentLength > maximum)
            throw TooLarge(options);
        using var body = new MemoryStream((int)(request.ContentLength ?? 0));
        byte[] buffer = new byte[MaximumOverhead];
        while (await request.Body.ReadAsync(buffer, cancellation) is int read and > 0)
        {
            if (body.Length + read > maximum)
                throw TooLarge(options);
            body.Write(buffer.AsSpan(0, read));
        }
        return body.ToArray();
    }

    private static BadHttpRequestException TooLarge(ServerOptions options) =>
        new(FormattableString.Invariant($"The image is larger than the limit of {options.MaximumUploadBytes:N0} bytes."), StatusCodes.Status413PayloadTooLarge);
}

/// <summary>The JSON of a request. The name of the member is that of Model Builder.</summary>
/// <param name="ImageSource">The content of an image file, in base64.</param>
internal sealed record ImageJson(byte[]? ImageSource);
