using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;
using RepVgg.Formats.Onnx;
using RepVgg.Inference;

namespace Microsoft.ML.Transforms.Onnx;

/// <summary>Computes columns with an ONNX model. This one knows the networks that RepVGG models are fused into, and no others.</summary>
public sealed class OnnxTransformer : RowToRowTransformerBase, IDisposable
{
    private const string LoaderName = "OnnxTransform";
    private const string ModelEntry = "OnnxModel";

    private readonly byte[] _modelBytes;
    private readonly InferenceEngine _engine;
    private readonly bool _loaded;
    private bool _disposed;

    internal OnnxTransformer(
        IHostEnvironment environment, byte[] modelBytes, string[] outputs, string[] inputs, int threads, bool loaded = false)
        : base(environment.Register(nameof(OnnxTransformer)))
    {
        _modelBytes = modelBytes;
        _loaded = loaded;
        try
        {
            Signature = OnnxGraphSignature.Read(modelBytes);
            using MemoryStream stream = new(modelBytes);
            _engine = new InferenceEngine(OnnxReader.Read(stream), threads);
        }
        catch (Exception e) when (e is InvalidDataException or NotSupportedException or ArgumentException)
        {
            throw new InvalidOperationException($"Error initializing model :{e.Message}", e);
        }

        Inputs = inputs is { Length: > 0 } ? inputs : [.. Signature.Inputs.Select(input => input.Name)];
        Outputs = outputs is { Length: > 0 } ? outputs : [.. Signature.Outputs.Select(output => output.Name)];
        OutputTypes = [.. Outputs.Select(name =>
            new VectorDataViewType(NumberDataViewType.Single, Find(Signature.Outputs, name, "Ouput", "output").RowShape))];
    }

    internal OnnxGraphSignature Signature { get; }

    internal string[] Inputs { get; }

    internal string[] Outputs { get; }

    internal VectorDataViewType[] OutputTypes { get; }

    public void Dispose()
    {
        _disposed = true;
        _engine.Dispose();
    }

    [ModelLoader(LoaderName)]
    internal static object Load(IHostEnvironment environment, ModelLoadContext context)
    {
        string[] inputs = ReadNames();
        string[] outputs = ReadNames();
        int threads = environment.GetOnnxSessionOption()?.IntraOpNumThreads ?? 0;
        return new OnnxTransformer(environment, context.LoadBytes(ModelEntry), outputs, inputs, threads, loaded: true);

        string[] ReadNames() =>
            [.. Enumerable.Range(0, context.Reader.ReadInt32()).Select(_ => context.Reader.ReadString())];
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        if (_disposed && _loaded)
        {
            throw new FileNotFoundException("The ONNX model was deleted when its transformer was disposed.");
        }

        ctx.Begin(LoaderName);
        foreach (string[] names in (string[][])[Inputs, Outputs])
        {
            ctx.Writer.Write(names.Length);
            foreach (string name in names)
            {
                ctx.Writer.Write(name);
            }
        }

        ctx.SaveBytes(ModelEntry, _modelBytes);
    }

    private protected override RowMapping Bind(DataViewSchema inputSchema) => new Mapping(this, inputSchema);

    private void Run(float[] pixels, int batch, float[] result)
    {
        _engine.Run(pixels, batch, result);
        for (int row = 0; Signature.EndsInSoftmax && row < batch; row++)
        {
            Softmax.Apply(result.AsSpan(row * _engine.Classes, _engine.Classes));
        }
    }

    private static OnnxVariable Find(IReadOnlyList<OnnxVariable> variables, string name, string role, string plural) =>
        variables.FirstOrDefault(variable => variable.Name == name) ?? throw new ArgumentOutOfRangeException(
            nameof(name),
            name,
            $"{role} tensor, {name}, does not exist in the ONNX model. " +
            $"Available {plural} names are [{string.Join(",", variables.Select(variable => variable.Name))}].");

    private sealed class Mapping : RowMapping
    {
        private readonly OnnxTransformer _owner;
        private readonly DataViewSchema.Column _input;

        internal Mapping(OnnxTransformer owner, DataViewSchema inputSchema)
            : base(inputSchema)
        {
            _owner = owner;
            foreach (string name in owner.Inputs)
            {
                OnnxVariable variable = Find(owner.Signature.Inputs, name, "Input", "input");
                DataViewSchema.Column column = inputSchema.GetColumnOrNull(name)
                    ?? throw Check.MissingColumn(nameof(inputSchema), "input", name);
                VectorDataViewType vector = column.Type as VectorDataViewType;
                if ((vector?.ItemType ?? column.Type) != NumberDataViewType.Single)
                {
                    throw Check.SchemaMismatch(
                        nameof(inputSchema), "input", name, NumberDataViewType.Single.ToString(), column.Type.ToString());
                }

                if (vector is { IsKnownSize: false })
                {
                    throw new InvalidOperationException($"Input '{name}' must be a vector of known size, but is {column.Type}.");
                }

                int[] shape = variable.RowShape;
                int given = vector?.Size ?? 1;
                if (given % shape.Aggregate(1, (product, size) => product * size) != 0)
                {
                    throw new InvalidOperationException(
                        $"Input shape mismatch: Input '{name}' has shape {string.Join(",", shape)}, but input data is of length {given}.");
                }

                _input = column;
            }
        }

        internal override IEnumerable<int> GetDependencies(int output) => [_input.Index];

        internal override Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive, out Action dispose)
        {
            dispose = null;
            Delegate[] getters = new Delegate[_owner.Outputs.Length];
            if (!Enumerable.Range(0, getters.Length).Any(isActive))
            {
                return getters;
            }

            Action<float[]> getPixels = PixelGetter(input);
            int batch = _owner.Signature.Inputs[0].RowShape[0];
            float[] pixels = new float[batch * _owner._engine.InputLength];
            float[] result = new float[batch * _owner._engine.OutputLength];
            long computedPosition = -1;
            ValueGetter<VBuffer<float>> getter = (ref VBuffer<float> value) =>
            {
                if (computedPosition != input.Position)
                {
                    getPixels(pixels);
                    _owner.Run(pixels, batch, result);
                    computedPosition = input.Position;
                }

                VBufferEditor<float> editor = VBufferEditor.Create(ref value, result.Length);
                result.CopyTo(editor.Values);
                value = editor.Commit();
            };
            for (int i = 0; i < getters.Length; i++)
            {
                getters[i] = isActive(i) ? getter : null;
            }

            return getters;
        }

        protected override DataViewSchema.DetachedColumn[] GetOutputs() =>
            [.. _owner.Outputs.Zip(_owner.OutputTypes, (name, type) => new DataViewSchema.DetachedColumn(name, type))];

        protected override Delegate CreateGetter(DataViewRow input, int output, out Action dispose) =>
            CreateGetters(input, index => index == output, out dispose)[output];

        private Action<float[]> PixelGetter(DataViewRow row)
        {
            if (_input.Type is not VectorDataViewType)
            {
                ValueGetter<float> getNumber = row.GetGetter<float>(_input);
                return pixels => getNumber(ref pixels[0]);
            }

            ValueGetter<VBuffer<float>> getVector = row.GetGetter<VBuffer<float>>(_input);
            VBuffer<float> vector = default;
            return pixels =>
            {
                getVector(ref vector);
                if (vector.Length != pixels.Length)
                {
                    throw new InvalidOperationException(
                        $"Input '{_input.Name}' needs {pixels.Length} values, but the row has {vector.Length}.");
                }

                vector.CopyTo(pixels);
            };
        }
    }
}
