using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace RepVgg.Weights.PyTorch;

/// <summary>Writes the pickle of a state_dict: an OrderedDict of float tensors, protocol 2, as torch.save writes it.</summary>
internal sealed class PickleWriter
{
    private readonly MemoryStream _bytes = new();

    /// <summary>Creates the pickle of weights. The key of each storage is the index of the tensor.</summary>
    public static byte[] Write(StateDict state)
    {
        var writer = new PickleWriter();
        writer.Raw([0x80, 2]);
        writer.Global("collections", "OrderedDict");
        writer.Raw(")R("u8); // OrderedDict() and a mark
        foreach (var (i, (name, tensor)) in state.Index())
        {
            writer.Text(name);
            writer.Tensor(i, tensor);
        }
        writer.Raw("u."u8); // SETITEMS, STOP
        return writer._bytes.ToArray();
    }

    private void Tensor(int key, TensorData tensor)
    {
        Global("torch._utils", "_rebuild_tensor_v2");
        Raw("(("u8);
        Text("storage");
        Global("torch", "FloatStorage");
        Text(key.ToString(CultureInfo.InvariantCulture));
        Text("cpu");
        Integer(tensor.Values.Length);
        Raw("tQ"u8); // persistent id
        Integer(0);
        var strides = new int[tensor.Shape.Count];
        for (int i = strides.Length - 1, step = 1; i >= 0; step *= Math.Max(tensor.Shape[i], 1), i--)
            strides[i] = step;
        Tuple(tensor.Shape);
        Tuple(strides);
        Raw([0x89]); // requires_grad = False
        Global("collections", "OrderedDict");
        Raw(")RtR"u8); // no hooks; call
    }

    private void Tuple(IReadOnlyList<int> values)
    {
        Raw("("u8);
        foreach (int value in values)
            Integer(value);
        Raw("t"u8);
    }

    private void Global(string module, string name) => Raw(Encoding.ASCII.GetBytes($"c{module}\n{name}\n"));

    private void Integer(int value)
    {
        Span<byte> bytes = stackalloc byte[5];
        bytes[0] = (byte)'J';
        BinaryPrimitives.WriteInt32LittleEndian(bytes[1..], value);
        Raw(bytes);
    }

    private void Text(string value)
    {
        byte[] text = Encoding.UTF8.GetBytes(value);
        Span<byte> bytes = stackalloc byte[5];
        bytes[0] = (byte)'X';
        BinaryPrimitives.WriteInt32LittleEndian(bytes[1..], text.Length);
        Raw(bytes);
        Raw(text);
    }

    private void Raw(ReadOnlySpan<byte> bytes) => _bytes.Write(bytes);
}
