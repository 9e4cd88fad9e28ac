using Microsoft.ML.Runtime;
using Microsoft.ML.Transforms.Onnx;

namespace Microsoft.ML;

/// <summary>Applies ONNX models from files or streams.</summary>
public static class OnnxCatalog
{
    public static OnnxScoringEstimator ApplyOnnxModel(
        this TransformsCatalog catalog, string modelFile, int? gpuDeviceId = null, bool fallbackToCpu = false) =>
        catalog.ApplyOnnxModel([], [], modelFile, gpuDeviceId, fallbackToCpu);

    public static OnnxScoringEstimator ApplyOnnxModel(
        this TransformsCatalog catalog, Stream modelBytes, int? gpuDeviceId = null, bool fallbackToCpu = false) =>
        catalog.ApplyOnnxModel([], [], modelBytes, gpuDeviceId, fallbackToCpu);

    public static OnnxScoringEstimator ApplyOnnxModel(
        this TransformsCatalog catalog,
        string outputColumnName,
        string inputColumnName,
        string modelFile,
        int? gpuDeviceId = null,
        bool fallbackToCpu = false) =>
        catalog.ApplyOnnxModel([outputColumnName], [inputColumnName], modelFile, gpuDeviceId, fallbackToCpu);

    public static OnnxScoringEstimator ApplyOnnxModel(
        this TransformsCatalog catalog,
        string outputColumnName,
        string inputColumnName,
        Stream modelBytes,
        int? gpuDeviceId = null,
        bool fallbackToCpu = false) =>
        catalog.ApplyOnnxModel([outputColumnName], [inputColumnName], modelBytes, gpuDeviceId, fallbackToCpu);

    public static OnnxScoringEstimator ApplyOnnxModel(
        this TransformsCatalog catalog,
        string[] outputColumnNames,
        string[] inputColumnNames,
        string modelFile,
        int? gpuDeviceId = null,
        bool fallbackToCpu = false) =>
        catalog.ApplyOnnxModel(new OnnxOptions
        {
            ModelFile = modelFile,
            InputColumns = inputColumnNames,
            OutputColumns = outputColumnNames,
            GpuDeviceId = gpuDeviceId,
            FallbackToCpu = fallbackToCpu,
        });

    public static OnnxScoringEstimator ApplyOnnxModel(
        this TransformsCatalog catalog,
        string[] outputColumnNames,
        string[] inputColumnNames,
        Stream modelBytes,
        int? gpuDeviceId = null,
        bool fallbackToCpu = false)
    {
        Check.NotNull(modelBytes, nameof(modelBytes));
        using MemoryStream copy = new();
        modelBytes.CopyTo(copy);
        return Make(catalog, copy.ToArray(), outputColumnNames, inputColumnNames, gpuDeviceId, fallbackToCpu, threads: null);
    }

    public static OnnxScoringEstimator ApplyOnnxModel(this TransformsCatalog catalog, OnnxOptions options)
    {
        if (options.ShapeDictionary is { Count: > 0 })
        {
            throw new NotSupportedException(
                $"The ML.NET stand-in does not support {nameof(OnnxOptions)}.{nameof(OnnxOptions.ShapeDictionary)}.");
        }

        if (!File.Exists(options.ModelFile))
        {
            throw new IOException($"Model file {options.ModelFile} does not exists.");
        }

        return Make(
            catalog,
            File.ReadAllBytes(options.ModelFile),
            options.OutputColumns,
            options.InputColumns,
            options.GpuDeviceId,
            options.FallbackToCpu,
            options.IntraOpNumThreads);
    }

    private static OnnxScoringEstimator Make(
        TransformsCatalog catalog,
        byte[] model,
        string[] outputs,
        string[] inputs,
        int? gpuDeviceId,
        bool fallbackToCpu,
        int? threads)
    {
        IHostEnvironment environment = catalog.GetEnvironment();
        if (gpuDeviceId is null && environment is IHostEnvironmentInternal { GpuDeviceId: not null } inner)
        {
            (gpuDeviceId, fallbackToCpu) = (inner.GpuDeviceId, inner.FallbackToCpu);
        }

        if (gpuDeviceId is not null && !fallbackToCpu)
        {
            throw new InvalidOperationException("Error initializing model :the ML.NET stand-in runs ONNX models on the CPU only.");
        }

        int used = threads ?? environment.GetOnnxSessionOption()?.IntraOpNumThreads ?? 0;
        return new OnnxScoringEstimator(environment, new OnnxTransformer(environment, model, outputs, inputs, used));
    }
}
