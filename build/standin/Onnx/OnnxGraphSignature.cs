using System.Buffers.Binary;
using System.Text;

namespace Microsoft.ML.Standin;

/// <summary>
/// What has to be read of an ONNX file itself: the names and shapes of its inputs and outputs, and whether the output is
/// a softmax, which the network that is read from it leaves out.
/// </summary>
/// <remarks>Field numbers are those of onnx.proto3.</remarks>
internal sealed class OnnxGraphSignature
{
    private const int GraphField = 7;
    private const int NodeField = 1;
    private const int InitializerField = 5;
    private const int InputField = 11;
    private const int OutputField = 12;
    private const int Float = 1;

    private OnnxGraphSignature(List<OnnxVariable> inputs, List<OnnxVariable> outputs, bool endsInSoftmax)
    {
        Inputs = inputs;
        Outputs = outputs;
        EndsInSoftmax = endsInSoftmax;
    }

    internal IReadOnlyList<OnnxVariable> Inputs { get; }

    internal IReadOnlyList<OnnxVariable> Outputs { get; }

    internal bool EndsInSoftmax { get; }

    /// <summary>Reads a serialised ModelProto.</summary>
    /// <exception cref="InvalidDataException">It is none, or a variable is not a tensor of floats.</exception>
    internal static OnnxGraphSignature Read(byte[] model)
    {
        List<OnnxVariable> inputs = [];
        List<OnnxVariable> outputs = [];
        HashSet<string> initializers = [];
        HashSet<string> softmaxes = [];
        foreach ((int modelField, ReadOnlyMemory<byte> graph, _) in Fields(model))
        {
            if (modelField != GraphField)
            {
                continue;
            }

            foreach ((int field, ReadOnlyMemory<byte> content, _) in Fields(graph))
            {
                switch (field)
                {
                    case NodeField when Text(Only(content, 4)) == "Softmax":
                        softmaxes.Add(Text(Only(content, 2)));
                        break;
                    case InitializerField:
                        initializers.Add(Text(Only(content, 8)));
                        break;
                    case InputField:
                        inputs.Add(Variable(content));
                        break;
                    case OutputField:
                        outputs.Add(Variable(content));
                        break;
                }
            }
        }

        inputs.RemoveAll(input => initializers.Contains(input.Name));
        return inputs.Count > 0 && outputs.Count > 0
            ? new OnnxGraphSignature(inputs, outputs, softmaxes.Contains(outputs[0].Name))
            : throw new InvalidDataException("The data are no ONNX model with inputs and outputs.");
    }

    /// <summary>A ValueInfoProto: name = 1, type = 2 { tensor = 1 { element = 1, shape = 2 { dimension = 1 { value = 1 } } } }.</summary>
    private static OnnxVariable Variable(ReadOnlyMemory<byte> value)
    {
        string name = string.Empty;
        ulong element = 0;
        List<int> shape = [];
        foreach ((int field, ReadOnlyMemory<byte> content, _) in Fields(value))
        {
            if (field == 1)
            {
                name = Text(content);
            }

            if (field != 2)
            {
                continue;
            }

            foreach ((int part, ReadOnlyMemory<byte> detail, ulong number) in Fields(Only(content, 1)))
            {
                if (part == 1)
                {
                    element = number;
                }

                if (part == 2)
                {
                    shape.AddRange(Fields(detail).Select(dimension => Dimension(dimension.Content)));
                }
            }
        }

        return element == Float
            ? new OnnxVariable(name, shape)
            : throw new InvalidDataException($"The ONNX variable '{name}' is not a tensor of floats.");
    }

    private static int Dimension(ReadOnlyMemory<byte> dimension) =>
        Fields(dimension).Where(part => part.Field == 1).Select(part => checked((int)part.Number)).FirstOrDefault(-1);

    private static ReadOnlyMemory<byte> Only(ReadOnlyMemory<byte> message, int field) =>
        Fields(message).Where(part => part.Field == field).Select(part => part.Content).FirstOrDefault();

    private static string Text(ReadOnlyMemory<byte> content) => Encoding.UTF8.GetString(content.Span);

    /// <summary>The fields of a message: bytes of those with a length, numbers of the others.</summary>
    private static IEnumerable<(int Field, ReadOnlyMemory<byte> Content, ulong Number)> Fields(ReadOnlyMemory<byte> message)
    {
        while (!message.IsEmpty)
        {
            ulong tag = Number(ref message);
            (int field, int wire) = ((int)(tag >> 3), (int)(tag & 7));
            switch (wire)
            {
                case 0:
                    yield return (field, default, Number(ref message));
                    break;
                case 1:
                    yield return (field, default, BinaryPrimitives.ReadUInt64LittleEndian(Take(ref message, 8).Span));
                    break;
                case 2:
                    yield return (field, Take(ref message, Number(ref message)), 0);
                    break;
                case 5:
                    yield return (field, default, BinaryPrimitives.ReadUInt32LittleEndian(Take(ref message, 4).Span));
                    break;
                default:
                    throw new InvalidDataException("The data are no ONNX model: they hold a field of an unknown kind.");
            }
        }
    }

    private static ulong Number(ref ReadOnlyMemory<byte> message)
    {
        ulong number = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte part = Take(ref message, 1).Span[0];
            number |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80)
            {
                return number;
            }
        }

        throw new InvalidDataException("The data are no ONNX model: a number has too many bytes.");
    }

    private static ReadOnlyMemory<byte> Take(ref ReadOnlyMemory<byte> message, ulong length)
    {
        if (length > (ulong)message.Length)
        {
            throw new InvalidDataException("The data are no ONNX model: they end too early.");
        }

        ReadOnlyMemory<byte> taken = message[..(int)length];
        message = message[(int)length..];
        return taken;
    }
}

/// <summary>An input or output of an ONNX graph.</summary>
/// <param name="Name">Its name, which is the column's name too.</param>
/// <param name="Shape">Its dimensions; -1 where the file leaves one open.</param>
internal sealed record OnnxVariable(string Name, IReadOnlyList<int> Shape)
{
    /// <summary>The shape for one row: an open batch dimension is 1.</summary>
    internal int[] RowShape => [.. Shape.Select((size, i) => size > 0 ? size : i == 0 ? 1 : 0)];
}
