using Microsoft.ML.OnnxRuntime;
using RepVgg.Networks;
using RepVgg.Weights.Onnx;

namespace RepVgg.Benchmarks;

/// <summary>A network in ONNX Runtime, with its input and output bound once, so that a run allocates nothing.</summary>
internal sealed class OnnxRuntimePeer : IDisposable
{
    private readonly InferenceSession _session;
    private readonly OrtIoBinding _binding;
    private readonly OrtValue _input;
    private readonly OrtValue _output;
    private readonly RunOptions _run = new();
    private readonly bool _ownsSession = true;

    /// <param name="network">What to run.</param>
    /// <param name="pixels">Its input, a whole batch.</param>
    /// <param name="batch">Images in the batch.</param>
    /// <param name="threads">Threads of one operation.</param>
    public OnnxRuntimePeer(DeployNetwork network, float[] pixels, int batch, int threads)
        : this(QuantizedNetwork.WithoutIntegers(network), pixels, batch, threads)
    {
    }

    /// <param name="network">What to run.</param>
    /// <param name="pixels">Its input, a whole batch.</param>
    /// <param name="batch">Images in the batch.</param>
    /// <param name="threads">Threads of one operation.</param>
    public OnnxRuntimePeer(QuantizedNetwork network, float[] pixels, int batch, int threads)
        : this(stream => OnnxWriter.Write(network, stream), threads)
    {
        Logits = new float[batch * network.Classes];
        _input = OrtValue.CreateTensorValueFromMemory(pixels, [batch, network.Architecture.InputChannels, network.ImageHeight, network.ImageWidth]);
        _output = OrtValue.CreateTensorValueFromMemory(Logits, [batch, network.Classes]);
        _binding = Bind();
    }

    /// <param name="network">What to run.</param>
    /// <param name="pixels">Its input, a whole batch.</param>
    /// <param name="batch">Images in the batch.</param>
    /// <param name="threads">Threads of one operation.</param>
    public OnnxRuntimePeer(SegmentationNetwork network, float[] pixels, int batch, int threads)
        : this(stream => OnnxWriter.Write(network, stream), threads)
    {
        Masks = new byte[batch * network.ImageHeight * network.ImageWidth];
        _input = OrtValue.CreateTensorValueFromMemory(pixels, [batch, network.Architecture.Backbone.InputChannels, network.ImageHeight, network.ImageWidth]);
        _output = OrtValue.CreateTensorValueFromMemory(Masks, [batch, network.ImageHeight, network.ImageWidth]);
        _binding = Bind();
    }

#pragma warning disable CS8618 // The constructors that call this one bind the input and the output.
    private OnnxRuntimePeer(Action<Stream> write, int threads)
#pragma warning restore CS8618
    {
        OrtEnv.Instance().DisableTelemetryEvents();
        using var model = new MemoryStream();
        write(model);
        using var options = new SessionOptions
        {
            IntraOpNumThreads = threads,
            InterOpNumThreads = 1,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
        };
        // Threads spin between runs, as by default.
        options.AddSessionConfigEntry("session.intra_op.allow_spinning", "1");
        _session = new InferenceSession(model.ToArray(), options);
    }

    private OnnxRuntimePeer(OnnxRuntimePeer other)
    {
        _session = other._session;
        _ownsSession = false;
        Logits = new float[other.Logits.Length];
        _input = OrtValue.CreateTensorValueFromMemory(other._input.GetTensorDataAsSpan<float>().ToArray(), other._input.GetTensorTypeAndShape().Shape);
        _output = OrtValue.CreateTensorValueFromMemory(Logits, other._output.GetTensorTypeAndShape().Shape);
        _binding = Bind();
    }

    /// <summary>The same session with an input and an output of its own, for another thread. It is disposed before this one.</summary>
    public OnnxRuntimePeer ForAnotherCaller() => new(this);

    /// <summary>The version that runs.</summary>
    public static string Version => $"ONNX Runtime {OrtEnv.Instance().GetVersionString()}";

    /// <summary>The logits of the last run; empty for segmentation.</summary>
    public float[] Logits { get; } = [];

    /// <summary>The class of every pixel in the last run, for segmentation.</summary>
    public byte[] Masks { get; } = [];

    /// <summary>Runs the batch.</summary>
    public void Run() => _session.RunWithBinding(_run, _binding);

    public void Dispose()
    {
        _binding.Dispose();
        _output.Dispose();
        _input.Dispose();
        if (_ownsSession)
            _session.Dispose();
        _run.Dispose();
    }

    private OrtIoBinding Bind()
    {
        var binding = _session.CreateIoBinding();
        binding.BindInput(_session.InputNames[0], _input);
        binding.BindOutput(_session.OutputNames[0], _output);
        return binding;
    }
}
