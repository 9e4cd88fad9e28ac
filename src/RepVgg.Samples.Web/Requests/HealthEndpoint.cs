using RepVgg.Samples.Web.Models;
using RepVgg.Samples.Web.Settings;

namespace RepVgg.Samples.Web.Requests;

/// <summary>Says which model is loaded.</summary>
internal static class HealthEndpoint
{
    public static Health Get(ModelStore models, ServerOptions options)
    {
        using var model = models.Use();
        return new Health("ok", models.FileName, model.Classifier.Architecture, model.Classifier.Labels, model.Version.Written, model.LoadedAt, models.ReloadError is not null, options.MaximumUploadBytes, options.MaximumPixels);
    }
}

/// <param name="Status">"ok": the server has a model.</param>
/// <param name="Model">Name of the model file.</param>
/// <param name="Architecture">Name of the RepVGG variant.</param>
/// <param name="Classes">The names of the classes.</param>
/// <param name="WrittenAt">When the file was written that is loaded.</param>
/// <param name="LoadedAt">When it was loaded.</param>
/// <param name="ReloadFailed">Whether the file has changed since, but cannot be loaded; the log has the reason.</param>
/// <param name="MaximumUploadBytes">Largest size of an image file in bytes.</param>
/// <param name="MaximumPixels">Largest number of pixels of an image.</param>
internal sealed record Health(string Status, string Model, string Architecture, IReadOnlyList<string> Classes, DateTime WrittenAt, DateTimeOffset LoadedAt, bool ReloadFailed, int MaximumUploadBytes, long MaximumPixels);
