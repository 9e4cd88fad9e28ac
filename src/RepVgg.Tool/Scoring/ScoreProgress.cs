using System.Diagnostics;
using System.Globalization;

namespace RepVgg.Tool.Scoring;

/// <summary>Shows how many images are done, the speed and the time that is left: one line that is overwritten on a terminal, and a line every ten seconds otherwise.</summary>
/// <param name="total">Number of images of the shard.</param>
/// <param name="done">Number of images that were done before.</param>
internal sealed class ScoreProgress(long total, long done)
{
    private static readonly TimeSpan _interval = TimeSpan.FromSeconds(Console.IsOutputRedirected ? 10 : 0.5);

    private readonly long _start = Stopwatch.GetTimestamp();
    private long _last = Stopwatch.GetTimestamp();
    private long _scored;
    private int _width;

    /// <summary>Images per second since the start.</summary>
    public double Speed => _scored / Stopwatch.GetElapsedTime(_start).TotalSeconds;

    /// <summary>Counts an image.</summary>
    public void Add()
    {
        _scored++;
        if (Stopwatch.GetElapsedTime(_last) < _interval)
            return;
        _last = Stopwatch.GetTimestamp();
        var left = TimeSpan.FromSeconds((total - done - _scored) / Speed);
        string line = string.Create(CultureInfo.InvariantCulture, $"{done + _scored:n0} of {total:n0} images, {Speed:n0} images/s, {(long)left.TotalHours}:{left:mm\\:ss} left");
        if (Console.IsOutputRedirected)
            Console.WriteLine(line);
        else
            Overwrite(line);
    }

    /// <summary>Removes the line from a terminal.</summary>
    public void End()
    {
        if (_width > 0)
            Overwrite("");
    }

    private void Overwrite(string line)
    {
        // A line that is as wide as the terminal, or wider, continues in the next one, where it cannot be overwritten.
        if (Console.WindowWidth > 1 && line.Length >= Console.WindowWidth)
            line = line[..(Console.WindowWidth - 1)];
        Console.Write($"\r{line.PadRight(_width)}{(line.Length == 0 ? "\r" : "")}");
        _width = line.Length;
    }
}
