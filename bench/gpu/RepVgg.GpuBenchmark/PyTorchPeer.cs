using System.Diagnostics;
using System.Globalization;

namespace RepVgg.GpuBenchmark;

/// <summary>pytorch_steps.py in a Python that waits for cases: each line that it gets is one measurement, which it answers with a line.</summary>
internal sealed class PyTorchPeer : IDisposable
{
    private readonly Process _process;

    /// <param name="python">The program.</param>
    /// <param name="device">cuda or cpu.</param>
    public PyTorchPeer(string python, string device)
    {
        string script = Path.Combine(AppContext.BaseDirectory, "pytorch_steps.py");
        _process = Process.Start(new ProcessStartInfo(python, [script, device]) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        Version = Read();
    }

    /// <summary>The version of PyTorch, of CUDA, and the name of the card.</summary>
    public string Version { get; }

    /// <summary>Images per second of training or inference.</summary>
    /// <param name="what">train, infer or infer-fused.</param>
    /// <param name="network">Variant.</param>
    /// <param name="size">Image height and width.</param>
    /// <param name="batch">Images in one step.</param>
    /// <param name="precision">float32, tf32 or bf16.</param>
    /// <param name="channelsLast">Whether channels are last in memory.</param>
    /// <param name="seconds">How long to measure.</param>
    /// <returns>NaN if PyTorch fails; the console has its message.</returns>
    public double Measure(string what, string network, int size, int batch, string precision, bool channelsLast, double seconds)
    {
        _process.StandardInput.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what} {network} {size} {batch} {precision} {(channelsLast ? "channels_last" : "contiguous")} {seconds}"));
        _process.StandardInput.Flush();
        string answer = Read();
        if (double.TryParse(answer, NumberStyles.Float, CultureInfo.InvariantCulture, out double speed))
            return speed;
        Console.Error.WriteLine($"PyTorch, {what} {network} {size} {batch} {precision}: {answer}");
        return double.NaN;
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        if (!_process.WaitForExit(TimeSpan.FromSeconds(20)))
            _process.Kill();
        _process.Dispose();
    }

    private string Read() => _process.StandardOutput.ReadLine() ?? throw new InvalidOperationException("pytorch_steps.py ended; its message stands above.");
}
