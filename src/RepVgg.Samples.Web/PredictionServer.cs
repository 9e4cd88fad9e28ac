using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Diagnostics;
using RepVgg.Samples.Web.Models;
using RepVgg.Samples.Web.Requests;
using RepVgg.Samples.Web.Settings;

namespace RepVgg.Samples.Web;

/// <summary>A web server that classifies images with a saved RepVGG model.</summary>
public static class PredictionServer
{
    /// <summary>Creates the server and loads the model.</summary>
    /// <param name="arguments">The command line: the options of this program and those of ASP.NET Core, such as <c>--urls</c>.</param>
    /// <exception cref="UsageException">The model is missing on the command line, or an option has an invalid value.</exception>
    /// <exception cref="IOException">The model cannot be read.</exception>
    /// <exception cref="InvalidDataException">The file contains no model that classifies images.</exception>
    public static WebApplication Create(string[] arguments)
    {
        var builder = WebApplication.CreateBuilder(arguments);
        var options = ServerOptions.Read(builder.Configuration);
        builder.Logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            // Upload has the limit.
            kestrel.Limits.MaxRequestBodySize = null;
        });
        builder.Services.AddSingleton(options);
        builder.Services.AddSingleton<ModelStore>();
        builder.Services.AddHostedService<ModelReloader>();
        builder.Services.AddSingleton(_ => new ConcurrencyLimiter(new ConcurrencyLimiterOptions
        {
            PermitLimit = options.Concurrency > 0 ? options.Concurrency : Environment.ProcessorCount,
            QueueLimit = options.QueueLength,
            QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
        }));
        builder.Services.AddProblemDetails();
        builder.Services.AddExceptionHandler<ProblemHandler>();
        builder.Services.Configure<RouteHandlerOptions>(routes => routes.ThrowOnBadRequest = true);
        builder.Services.AddOpenApi(openApi => openApi.AddDocumentTransformer((document, _, _) =>
        {
            document.Info.Title = "Image classification with RepVGG";
            return Task.CompletedTask;
        }));

        var server = builder.Build();
        // Loads the model now: without one, the program ends before it listens.
        server.Services.GetRequiredService<ModelStore>();
        server.UseExceptionHandler();
        server.UseStatusCodePages();
        server.MapPost("/predict", PredictEndpoint.Predict).WithName("predict").WithTags("Images").WithSummary("Classifies an image.")
            .Produces<Prediction>().ProducesProblem(400).ProducesProblem(413).ProducesProblem(415).ProducesProblem(503)
            .AddOpenApiOperationTransformer(PredictEndpoint.DescribeBody);
        server.MapGet("/health", HealthEndpoint.Get).WithName("health").WithTags("Server").WithSummary("Says which model is loaded, and the limits of the server.");
        server.MapOpenApi("/openapi.json");
        PageEndpoints.Map(server);
        return server;
    }
}

/// <summary>Answers requests that cannot be served by problem details with the reason.</summary>
internal sealed class ProblemHandler(IProblemDetailsService problems) : IExceptionHandler
{
    public ValueTask<bool> TryHandleAsync(HttpContext context, Exception exception, CancellationToken cancellation)
    {
        if (exception is not BadHttpRequestException error)
            return ValueTask.FromResult(false);
        context.Response.StatusCode = error.StatusCode;
        if (error.StatusCode == StatusCodes.Status503ServiceUnavailable)
            context.Response.Headers.RetryAfter = "1";
        return problems.TryWriteAsync(new ProblemDetailsContext { HttpContext = context, ProblemDetails = { Status = error.StatusCode, Detail = error.Message } });
    }
}
