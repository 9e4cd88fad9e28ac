using System.Diagnostics;
using System.Globalization;
using RepVgg.Architectures;

namespace RepVgg.Benchmarks;

/// <summary>A Python process that trains the same network when told to, so that both sides can alternate.</summary>
internal sealed class PyTorchPeer : IDisposable
{
    private readonly Process _process;

    public PyTorchPeer(string python, RepVggArchitecture architecture, int size, int batch, int threads, int classes, bool processorTime)
    {
        string script = Path.Combine(AppContext.BaseDirectory, "pytorch_training.py");
        var start = new ProcessStartInfo(python) { RedirectStandardInput = true, RedirectStandardOutput = true };
        start.ArgumentList.Add(script);
        foreach (int argument in (int[])[architecture.InputChannels, size, batch, threads, classes, processorTime ? 1 : 0])
            start.ArgumentList.Add(argument.ToString(CultureInfo.InvariantCulture));
        start.ArgumentList.Add(string.Join(",", architecture.Blocks.Select(block => $"{block.InputChannels}-{block.OutputChannels}-{block.Stride}-{block.Groups}")));
        _process = Process.Start(start) ?? throw new InvalidOperationException($"'{python}' did not start.");
        Console.WriteLine($"peer: {_process.StandardOutput.ReadLine()}");
    }

    /// <summary>Images per second over about that many seconds.</summary>
    public double Round(double seconds)
    {
        _process.StandardInput.WriteLine(seconds.ToString(CultureInfo.InvariantCulture));
        string? answer = _process.StandardOutput.ReadLine();
        return double.TryParse(answer, CultureInfo.InvariantCulture, out double rate) ? rate : throw new InvalidOperationException($"The peer answered '{answer}'.");
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        _process.WaitForExit();
        _process.Dispose();
    }
}
