namespace Microsoft.ML.Transforms.Onnx;

/// <summary>What to apply, and how.</summary>
public sealed class OnnxOptions
{
    public string ModelFile;
    public string[] InputColumns;
    public string[] OutputColumns;
    public int? GpuDeviceId;
    public bool FallbackToCpu;

    /// <summary>Not supported here: shapes are those of the file.</summary>
    public IDictionary<string, int[]> ShapeDictionary;
    public int RecursionLimit = 100;
    public int? InterOpNumThreads;
    public int? IntraOpNumThreads;
}

/// <summary>How models are run in an environment. Of the real one's options these are the ones that have an effect here.</summary>
public sealed class OnnxSessionOptions
{
    public int InterOpNumThreads { get; set; }

    /// <summary>Threads that work on one row; 0 for all cores.</summary>
    public int IntraOpNumThreads { get; set; }
}
