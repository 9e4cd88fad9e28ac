using System.ComponentModel;
using System.Diagnostics;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;
using RepVgg.Samples.Web.Models;
using RepVgg.Samples.Web.Settings;

namespace RepVgg.Samples.Web.Requests;

/// <summary>Classifies the image of a request.</summary>
internal static class PredictEndpoint
{
    private const int Top = 5;

    /// <summary>Up to this number of pixels the heat map is drawn on the image; on larger ones the file would be too large to send.</summary>
    private const long MaximumPixelsToDraw = 4_000_000;

    public static async Task<Prediction> Predict(
        HttpRequest request,
        ModelStore models,
        ConcurrencyLimiter limiter,
        ServerOptions options,
        CancellationToken cancellation,
        [Description("Whether the answer has a drawing of the evidence for a class.")] bool explain = false,
        [FromQuery(Name = "class"), Description("The class that is explained; the predicted one if it is not given.")] string? className = null)
    {
        byte[] image = await Upload.ReadAsync(request, options, cancellation);
        // Waits after the upload, so that slow clients keep nobody waiting.
        using var permit = await limiter.AcquireAsync(1, cancellation);
        if (!permit.IsAcquired)
            throw new BadHttpRequestException("Too many images are waiting. Try again in a moment.", StatusCodes.Status503ServiceUnavailable);
        using var model = models.Use();
        return Predict(model.Classifier, image, explain, className);
    }

    public static Task DescribeBody(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken cancellation)
    {
        var binary = new OpenApiSchema { Type = JsonSchemaType.String, Format = "binary" };
        var base64 = new OpenApiSchema { Type = JsonSchemaType.String, Format = "byte", Description = "The content of an image file, in base64." };
        operation.RequestBody = new OpenApiRequestBody
        {
            Required = true,
            Description = "One image: JPEG, PNG, GIF, BMP or WebP.",
            Content = new Dictionary<string, OpenApiMediaType>
            {
                ["multipart/form-data"] = new() { Schema = ObjectWith("image", binary) },
                ["application/json"] = new() { Schema = ObjectWith("imageSource", base64) },
                ["image/*"] = new() { Schema = binary },
                ["application/octet-stream"] = new() { Schema = binary },
            },
        };
        return Task.CompletedTask;
    }

    private static Prediction Predict(ImageClassifier classifier, byte[] image, bool explain, string? className)
    {
        long start = Stopwatch.GetTimestamp();
        float[] scores;
        try
        {
            scores = classifier.Score(image);
        }
        catch (InvalidDataException error)
        {
            throw new BadHttpRequestException(error.Message, ImageHeader.HasKnownFormat(image) ? StatusCodes.Status400BadRequest : StatusCodes.Status415UnsupportedMediaType, error);
        }
        ClassProbability[] best = [.. scores.Index().OrderByDescending(score => score.Item).Take(Top).Select(score => new ClassProbability(classifier.Labels[score.Index], score.Item))];
        var heatMap = explain ? Draw(classifier, image, className) : null;
        return new Prediction(best[0].Label, best[0].Probability, best, image.Length, ImageHeader.ReadSize(image), Stopwatch.GetElapsedTime(start).TotalMilliseconds, heatMap);
    }

    private static HeatMap Draw(ImageClassifier classifier, byte[] image, string? className)
    {
        try
        {
            var map = classifier.Explain(image, className);
            bool isSmall = (long)map.ImageWidth * map.ImageHeight <= MaximumPixelsToDraw;
            byte[] png = isSmall ? map.DrawOnImage(image) : map.DrawOnInput();
            var size = isSmall ? new ImageSize(map.ImageWidth, map.ImageHeight) : new ImageSize(map.InputWidth, map.InputHeight);
            return new HeatMap(map.ClassName, map.Probability, map.Logit, new ImageSize(map.InputWidth, map.InputHeight), size, $"data:image/png;base64,{Convert.ToBase64String(png)}");
        }
        catch (ArgumentException error)
        {
            throw new BadHttpRequestException(error.Message, error);
        }
    }

    private static OpenApiSchema ObjectWith(string member, OpenApiSchema schema) => new()
    {
        Type = JsonSchemaType.Object,
        Required = new HashSet<string> { member },
        Properties = new Dictionary<string, IOpenApiSchema> { [member] = schema },
    };
}

/// <summary>The answer to a request.</summary>
/// <param name="Label">The most probable class.</param>
/// <param name="Probability">Its probability, 0 to 1.</param>
/// <param name="Predictions">The five most probable classes, or all if there are fewer, the most probable first.</param>
/// <param name="Bytes">Size of the image file.</param>
/// <param name="Image">Size of the image in pixels.</param>
/// <param name="Milliseconds">Time for decoding, scoring and drawing, without the upload and without waiting.</param>
/// <param name="HeatMap">Where the evidence for a class lies in the image; null unless it was asked for.</param>
internal sealed record Prediction(string Label, float Probability, IReadOnlyList<ClassProbability> Predictions, int Bytes, ImageSize? Image, double Milliseconds, HeatMap? HeatMap);

/// <param name="Label">The name of the class.</param>
/// <param name="Probability">Its probability, 0 to 1.</param>
internal sealed record ClassProbability(string Label, float Probability);

/// <param name="Width">Width in pixels.</param>
/// <param name="Height">Height in pixels.</param>
internal sealed record ImageSize(int Width, int Height);

/// <param name="Label">The class for which parts of the image speak.</param>
/// <param name="Probability">Its probability, 0 to 1.</param>
/// <param name="Logit">Its logit.</param>
/// <param name="Input">Size of the network's input in pixels.</param>
/// <param name="Size">Size of the drawing in pixels: that of the image, or that of the network's input if the image is very large.</param>
/// <param name="Png">The drawing, a data URI.</param>
internal sealed record HeatMap(string Label, float Probability, float Logit, ImageSize Input, ImageSize Size, string Png);
