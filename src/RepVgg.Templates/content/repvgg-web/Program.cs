using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Mvc;
using Microsoft.ML.RepVgg;

namespace RepVggNamespace;

// dotnet run -- train FOLDER   trains on a folder with one subfolder of images per class, and writes MLModel1.mlnet
// dotnet run                   serves the model:
//   curl -F image=@photo.jpg http://localhost:5000/predict/file
//   curl -H "Content-Type: application/json" -d "{\"imageSource\":\"$(base64 -w0 photo.jpg)\"}" http://localhost:5000/predict
internal static class Program
{
    // The limit of requests is that of an image of 10 MB in base64. Decoding an image needs up to 8 bytes per pixel.
    private const int MaximumRequestBytes = 14_000_000, MaximumPixels = 50_000_000, Top = 5;

    private static int Main(string[] args)
    {
        try
        {
            if (args is ["train", var folder])
            {
                MLModel1.Train(MLModel1.MLNetModelPath, folder);
                Console.WriteLine($"The model: {MLModel1.MLNetModelPath}");
                Console.WriteLine("Copy it to the folder of the project to make it a part of the project: builds and publishing then take it along.");
                return 0;
            }
            if (!File.Exists(MLModel1.MLNetModelPath))
                throw new FileNotFoundException($"There is no model '{MLModel1.MLNetModelPath}'. Train one with the command: train FOLDER. Or copy one there.");
            CreateServer(args).Run();
            return 0;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException or InvalidOperationException or ArgumentException)
        {
            Console.Error.WriteLine($"Error: {error.Message}");
            return 1;
        }
    }

    internal static WebApplication CreateServer(string[] args)
    {
        // The settings are beside the program, whatever the current folder is.
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = null);
        // Uploads stay in memory; no temporary file is written.
        builder.Services.Configure<FormOptions>(form => form.MemoryBufferThreshold = MaximumRequestBytes);
        builder.Services.AddSingleton(services => new ModelService(
            MLModel1.MLNetModelPath,
            new RepVggLoadOptions { MaximumImagePixels = MaximumPixels, NumberOfThreads = 1 },
            services.GetRequiredService<ILogger<ModelService>>()));
        builder.Services.AddHostedService(services => services.GetRequiredService<ModelService>());
        builder.Services.AddHealthChecks().AddCheck<ModelService>("model");
        builder.Services.AddOpenApi();

        // Requests that cannot be served are answered by problem details with the reason.
        builder.Services.Configure<RouteHandlerOptions>(routes => routes.ThrowOnBadRequest = true);
        builder.Services.AddProblemDetails(problems => problems.CustomizeProblemDetails = problem => problem.ProblemDetails.Detail = problem.ProblemDetails.Status switch
        {
            StatusCodes.Status413PayloadTooLarge => $"The request is larger than the limit of {MaximumRequestBytes} bytes.",
            StatusCodes.Status415UnsupportedMediaType => "Send application/json to /predict, or multipart/form-data to /predict/file.",
            StatusCodes.Status400BadRequest => problem.Exception?.InnerException is JsonException json ? json.Message : problem.Exception?.Message ?? "The body of the request cannot be read: it is cut off, or it is no such form.",
            _ => null,
        });

        var server = builder.Build();
        server.UseExceptionHandler(new ExceptionHandlerOptions
        {
            StatusCodeSelector = error => error switch
            {
                // A body that becomes too large while JSON is read.
                BadHttpRequestException { InnerException: BadHttpRequestException cause } => cause.StatusCode,
                BadHttpRequestException request => request.StatusCode,
                _ => StatusCodes.Status500InternalServerError,
            },
            SuppressDiagnosticsCallback = context => context.Exception is BadHttpRequestException,
        });
        server.UseStatusCodePages();
        server.Use(async (context, next) =>
        {
            // The server reads the rest of a body that is too large for some seconds and drops it. With its own limit it would end the
            // connection at once, while the client still sends, and the client would not get the answer.
            var body = new MemoryStream();
            var buffer = new byte[65536];
            while (context.Request.ContentLength is null or <= MaximumRequestBytes && await context.Request.Body.ReadAsync(buffer) is var read and > 0 && body.Length <= MaximumRequestBytes)
                body.Write(buffer, 0, read);
            if (context.Request.ContentLength > MaximumRequestBytes || body.Length > MaximumRequestBytes)
                throw new BadHttpRequestException("The request is too large.", StatusCodes.Status413PayloadTooLarge);
            body.Position = 0;
            context.Request.Body = body;
            await next(context);
        });
        server.MapPost("/predict", ([FromBody] MLModel1.ModelInput input, ModelService service) => Predict(service, input.ImageSource))
            .WithSummary("Classifies the image of a JSON object.").ProducesProblem(400).ProducesProblem(413).ProducesProblem(415);
        server.MapPost("/predict/file", async (IFormFile image, HttpRequest request, ModelService service) =>
        {
            if (request.Form.Files.Count > 1)
                throw new BadHttpRequestException("The form has several files. Send one image in each request.");
            var content = new byte[image.Length];
            await using var stream = image.OpenReadStream();
            await stream.ReadExactlyAsync(content);
            return Predict(service, content);
        }).DisableAntiforgery().WithSummary("Classifies the image file of a form.").ProducesProblem(400).ProducesProblem(413).ProducesProblem(415);
        server.MapHealthChecks("/health");
        server.MapOpenApi();
        return server;
    }

    private static Prediction Predict(ModelService service, byte[]? image)
    {
        if (image is not { Length: > 0 })
            throw new BadHttpRequestException("The image is missing or empty.");
        try
        {
            LabelScore[] best = [.. service.Model.PredictAllLabels(new MLModel1.ModelInput { ImageSource = image }).Take(Top).Select(pair => new LabelScore(pair.Key, pair.Value))];
            return new Prediction(best[0].Label, best);
        }
        catch (InvalidOperationException error)
        {
            throw new BadHttpRequestException($"The image cannot be read: {error.InnerException?.Message ?? error.Message}.", error);
        }
    }
}

/// <param name="PredictedLabel">The most probable class.</param>
/// <param name="Scores">The probabilities of the five most probable classes, the largest first.</param>
internal sealed record Prediction(string PredictedLabel, IReadOnlyList<LabelScore> Scores);

internal sealed record LabelScore(string Label, float Score);
