namespace Microsoft.ML.RepVgg.Input.Images;

/// <summary>Explains errors that are due to SkiaSharp, the image decoder of ML.NET and of this library, being missing or of another version.</summary>
internal static class MissingDecoder
{
    /// <summary>Whether an error is due to SkiaSharp. The text is checked too, since the user's own columns can throw the same exception types.</summary>
    public static bool IsCauseOf(Exception error) =>
        InnermostOf(error) is MissingMemberException or TypeLoadException or DllNotFoundException or BadImageFormatException
        && error.ToString().Contains("Skia", StringComparison.Ordinal);

    /// <summary>Creates the exception that explains such an error.</summary>
    public static NotSupportedException Explain(Exception error)
    {
        string skia = AppDomain.CurrentDomain.GetAssemblies().FirstOrDefault(assembly => assembly.GetName().Name == "SkiaSharp")?.GetName().Version?.ToString(3) ?? "none";
        return new NotSupportedException($"ML.NET cannot read images in this application: {InnermostOf(error).Message.TrimEnd('.')}. Its decoder needs SkiaSharp 2.88, with SkiaSharp's native library of the same version; the loaded version is {skia}. Reference SkiaSharp 2.88.9, and no package that needs a later version.", error);
    }

    private static Exception InnermostOf(Exception error) => error.InnerException is { } inner ? InnermostOf(inner) : error;
}
