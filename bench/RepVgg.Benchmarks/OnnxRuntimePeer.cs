using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using RepVgg.Formats.Onnx;
using RepVgg.Networks;

namespace RepVgg.Benchmarks;

/// <summary>A Node process that runs the same network in ONNX Runtime when told to.</summary>
internal sealed class OnnxRuntimePeer : IDisposable
{
    private readonly Process _process;
    private readonly string _folder;

    /// <param name="peers">Folder whose node_modules hold onnxruntime-node.</param>
    /// <param name="network">What to run.</param>
    /// <param name="pixels">Its input, a whole batch.</param>
    /// <param name="batch">Images in the batch.</param>
    /// <param name="threads">Threads of one operation.</param>
    /// <param name="processorTime">Count processor time, not wall time.</param>
    public OnnxRuntimePeer(string peers, DeployNetwork network, ReadOnlySpan<float> pixels, int batch, int threads, bool processorTime)
    {
        _folder = Directory.CreateTempSubdirectory("repvgg-peer-").FullName;
        string model = Path.Combine(_folder, "model.onnx"), input = Path.Combine(_folder, "pixels");
        OnnxWriter.Write(network, model);
        File.WriteAllBytes(input, System.Runtime.InteropServices.MemoryMarshal.AsBytes(pixels));
        var start = new ProcessStartInfo("node") { RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment["PEERS"] = Path.GetFullPath(peers);
        object[] arguments =
        [
            Path.Combine(AppContext.BaseDirectory, "onnxruntime_inference.mjs"), model, input, batch,
            network.Architecture.InputChannels, network.ImageHeight, network.ImageWidth, threads, processorTime ? "processor" : "wall",
        ];
        foreach (object argument in arguments)
            start.ArgumentList.Add(Convert.ToString(argument, CultureInfo.InvariantCulture)!);
        _process = Process.Start(start) ?? throw new InvalidOperationException("Node did not start.");
        Version = Read();
    }

    /// <summary>What runs there.</summary>
    public string Version { get; }

    /// <summary>Median milliseconds of one run over about that many seconds.</summary>
    public double Round(double seconds) => double.Parse(Ask(seconds.ToString(CultureInfo.InvariantCulture)), CultureInfo.InvariantCulture);

    /// <summary>The logits of the batch.</summary>
    public float[] Logits() => JsonSerializer.Deserialize<float[]>(Ask("logits"))!;

    public void Dispose()
    {
        _process.StandardInput.Close();
        _process.WaitForExit();
        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private string Ask(string line)
    {
        _process.StandardInput.WriteLine(line);
        return Read();
    }

    private string Read() => _process.StandardOutput.ReadLine()
        ?? throw new InvalidOperationException("ONNX Runtime's side ended; its message stands above. Is onnxruntime-node installed in bench/peers?");
}
