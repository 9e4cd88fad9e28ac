using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Inference;

namespace Microsoft.ML.RepVgg.Segmentation;

/// <summary>Runs a network for segmentation as one whose outputs are numbers: the class of every pixel, and, if they are wanted, the probabilities of all classes.</summary>
/// <param name="engine">The engine; it is disposed with the instance.</param>
/// <param name="hasScores">Whether the probabilities are wanted.</param>
internal sealed class MaskEngine(SegmentationEngine engine, bool hasScores) : INetworkEngine
{
    /// <inheritdoc/>
    public int Threads => engine.Threads;

    /// <inheritdoc/>
    public int OutputLength => engine.MaskLength + (hasScores ? engine.Classes * engine.MaskLength : 0);

    /// <inheritdoc/>
    public void Run(ReadOnlySpan<float> images, int count, Span<float> logits)
    {
        var (masks, scores) = CreateResults(count);
        if (hasScores)
            engine.RunLogits(images, count, scores);
        else
            engine.Run(images, count, masks);
        Write(masks, scores, count, logits);
    }

    /// <inheritdoc/>
    public void Run(ReadOnlySpan<byte> images, int count, Span<float> logits)
    {
        var (masks, scores) = CreateResults(count);
        if (hasScores)
            engine.RunLogits(images, count, scores);
        else
            engine.Run(images, count, masks);
        Write(masks, scores, count, logits);
    }

    /// <inheritdoc/>
    public void Dispose() => engine.Dispose();

    /// <summary>Creates the getter of the column of masks. The mask of an invalid row has the ignored label 255 everywhere.</summary>
    public ValueGetter<VBuffer<byte>> MaskGetter(OutputOfRow output) => (ref VBuffer<byte> value) =>
    {
        var classes = output()[..engine.MaskLength];
        var editor = VBufferEditor.Create(ref value, classes.Length);
        for (int i = 0; i < classes.Length; i++)
            editor.Values[i] = float.IsNaN(classes[i]) ? byte.MaxValue : (byte)classes[i];
        value = editor.Commit();
    };

    /// <summary>Creates the getter of the column of probabilities.</summary>
    public ValueGetter<VBuffer<float>> ScoreGetter(OutputOfRow output) => Probabilities.CopyGetter(() => output()[engine.MaskLength..]);

    private (byte[] Masks, float[] Scores) CreateResults(int count) => hasScores ? ([], new float[count * engine.Classes * engine.MaskLength]) : (new byte[count * engine.MaskLength], []);

    private void Write(byte[] masks, float[] scores, int count, Span<float> outputs)
    {
        if (hasScores)
            Write(scores, count, outputs);
        for (int i = 0; i < masks.Length; i++)
            outputs[i] = masks[i];
    }

    /// <summary>Writes the class of the largest logit of each pixel, and the softmax of the logits.</summary>
    private void Write(float[] logits, int count, Span<float> outputs)
    {
        int area = engine.MaskLength, classes = engine.Classes;
        Span<float> pixel = stackalloc float[classes];
        for (int image = 0; image < count; image++)
        {
            var from = logits.AsSpan(image * classes * area, classes * area);
            var to = outputs.Slice(image * OutputLength, OutputLength);
            for (int p = 0; p < area; p++)
            {
                for (int c = 0; c < classes; c++)
                    pixel[c] = from[c * area + p];
                to[p] = global::RepVgg.Runtime.Logits.IndexOfMax(pixel);
                Probabilities.Softmax(pixel, pixel);
                for (int c = 0; c < classes; c++)
                    to[area + c * area + p] = pixel[c];
            }
        }
    }
}
