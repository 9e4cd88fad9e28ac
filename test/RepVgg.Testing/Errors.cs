namespace RepVgg.Testing;

/// <summary>ML.NET wraps errors of cursors; the reason lies inside.</summary>
internal static class Errors
{
    public static IEnumerable<Exception> Chain(Exception error)
    {
        for (Exception? inner = error; inner is not null; inner = inner.InnerException)
            yield return inner;
    }

    public static string AllMessages(Exception error) => string.Join(" | ", Chain(error).Select(inner => inner.Message));
}
