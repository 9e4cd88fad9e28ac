using System.Buffers;
using RepVgg.Inference;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads images as planes (CHW) of bytes: red, green and blue, or grey for a network of one channel.</summary>
/// <remarks>The bytes are those that the saved model's transformers convert to floats. No byte is a value that is not finite, so none is checked.</remarks>
/// <param name="input">Description of the column.</param>
/// <param name="location">Describes the current row in error messages.</param>
/// <param name="capacity">Maximum number of images of a batch; 0 if the reader has no batch.</param>
internal abstract class BytePixelReader(FeatureInput input, RowLocation location, int capacity) : PixelReader(input, location)
{
    // The array is rented because allocating arrays of this size takes as long as scoring a few images.
    private byte[] _batch = ArrayPool<byte>.Shared.Rent(checked(capacity * input.Length));

    public override void Run(INetworkEngine engine, int count, Span<float> outputs) => engine.Run(_batch.AsSpan(0, count * Input.Length), count, outputs);

    public override void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_batch);
        _batch = [];
    }

    /// <summary>Gets the planes of an image of the batch.</summary>
    protected Span<byte> Planes(int index) => _batch.AsSpan(index * Input.Length, Input.Length);
}
