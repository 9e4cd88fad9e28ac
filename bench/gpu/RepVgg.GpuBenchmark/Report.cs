using System.Text;

namespace RepVgg.GpuBenchmark;

/// <summary>What was measured, in Markdown. It is printed at once and written to a file after every line, so that a run that is cut off leaves what it had.</summary>
/// <param name="path">The file.</param>
internal sealed class Report(string path)
{
    private readonly StringBuilder _text = new();

    public void Line(string text = "")
    {
        Console.WriteLine(text);
        _text.Append(text).Append('\n');
        string temporary = path + ".tmp";
        File.WriteAllText(temporary, _text.ToString());
        File.Move(temporary, path, overwrite: true);
    }

    /// <summary>Runs a part. If it fails, the report has the reason and goes on.</summary>
    public void Part(string title, Action part)
    {
        Line($"## {title}");
        Line();
        try
        {
            part();
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            Failed = true;
            Line($"FAILED: {exception.GetType().Name}: {exception.Message}");
        }
        Line();
    }

    /// <summary>Whether a part failed.</summary>
    public bool Failed { get; private set; }

    /// <summary>Records a failure that the report already has a line for.</summary>
    public void Fail() => Failed = true;
}
