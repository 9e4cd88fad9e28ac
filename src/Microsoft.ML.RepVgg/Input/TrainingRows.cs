using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;
using RepVgg.Runtime.Threading;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads a data view once into caches of bounded memory, from which the training loop reads samples by index.</summary>
internal static class TrainingRows
{
    /// <summary>Number of encoded images that are decoded in parallel; with many threads <see cref="ImagesPerThread"/> decides, so that they are all busy.</summary>
    private const int DecodedTogether = 32;

    private const int ImagesPerThread = 8;

    /// <summary>Maximum number of pixel values of the images that are decoded in parallel. For large images they are fewer.</summary>
    private const long MaximumPixels = 256L << 20;

    /// <summary>Reads every row.</summary>
    /// <param name="view">The data.</param>
    /// <param name="input">Description of the feature column.</param>
    /// <param name="labelName">Name of the label column: a key of UInt32.</param>
    /// <param name="weightName">Name of the column of weights, of Single; null if all weights are 1. Rows of the weight 0 are left out.</param>
    /// <param name="images">Receives the images.</param>
    /// <param name="skipInvalid">True to skip and count invalid rows; false to throw an exception for the first one.</param>
    /// <param name="cancellation">Cancellation token, checked at every row.</param>
    /// <param name="threads">Maximum number of threads that decode images; 0 for all cores.</param>
    /// <returns>The number of skipped rows, the error message of the first one, the labels of which all rows were skipped, and the labels of which all other rows have the weight 0.</returns>
    /// <exception cref="InvalidOperationException">A row cannot be used; the message names it and the reason.</exception>
    public static (long Skipped, string? FirstReason, IReadOnlyList<int> LostLabels, IReadOnlyList<int> WeightlessLabels) Read(IDataView view, FeatureInput input, string labelName, string? weightName, TrainingImages images, bool skipInvalid, CancellationToken cancellation, int threads = 0)
    {
        var pixelColumn = input.FindColumn(view.Schema);
        var labelColumn = view.Schema[labelName];
        var weightColumn = weightName is null ? (DataViewSchema.Column?)null : view.Schema[weightName];

        var files = ImageFiles.Find(view, input.ColumnName);

        // A cursor set of one cursor is used because GetRowCursor may read ahead on other threads. An image that cannot be
        // read would then end the whole cursor, and the row could neither be named in the message nor skipped.
        using var cursor = view.GetRowCursorSet([labelColumn, .. weightColumn is { } active ? [active] : Array.Empty<DataViewSchema.Column>(), .. PixelReader.ColumnsOf(input, pixelColumn, files, view.Schema)], 1)[0];
        var getLabel = cursor.GetGetter<uint>(labelColumn);
        var getWeight = weightColumn is { } weights ? cursor.GetGetter<float>(weights) : (ref float weight) => weight = 1;
        var location = new RowLocation(cursor, input.ColumnName, files);
        bool decodesTogether = !input.IsVector && PixelReader.ReadsContent(pixelColumn, files);
        // Whole images are usually longer than their shorter side, which the working size limits.
        long length = images.Working is { WorkingSize: var side } ? 2L * input.Channels * side * side : input.Length;
        long together = Math.Clamp(MaximumPixels / length, 1, Math.Max(DecodedTogether, ImagesPerThread * ThreadCount.Resolve(threads)));
        using var reader = PixelReader.Create(input, cursor, pixelColumn, location, decodesTogether ? (int)together : 1, threads, images.Working);
        long skipped = 0;
        string? firstReason = null;
        HashSet<int> seen = [], weightless = [];
        while (cursor.MoveNext())
        {
            cancellation.ThrowIfCancellationRequested();
            uint key = 0;
            getLabel(ref key);
            float weight = 1;
            getWeight(ref weight);
            if (weight == 0)
            {
                if (key > 0 && key <= images.Samples.Classes)
                    weightless.Add((int)key - 1);
                continue;
            }
            bool isWeight = weight > 0 && float.IsFinite(weight);
            if (isWeight && key > 0 && key <= images.Samples.Classes)
            {
                seen.Add((int)key - 1);
                reader.AddTo(images, (int)key - 1, weight, Invalid);
                continue;
            }
            reader.Flush(images, Invalid);
            if (!isWeight)
            {
                Invalid(new InvalidRowException(FormattableString.Invariant($"Row {cursor.Position}, column '{weightName}': the weight is {weight}; it must be a finite number of 0 or more.")));
                continue;
            }
            string reason = key == 0
                ? "the label is missing (its value is not among the values of the key mapping)."
                : $"the label is key {key}, but the column's type has {images.Samples.Classes} keys.";
            Invalid(new InvalidRowException($"Row {cursor.Position}, column '{labelName}': {reason}"));
        }
        reader.Flush(images, Invalid);
        weightless.ExceptWith(seen);
        if (skipped > 0)
            seen.ExceptWith(Enumerable.Range(0, images.Samples.Count).Select(images.Samples.LabelOf));
        return (skipped, firstReason, skipped > 0 ? [.. seen.Order()] : [], [.. weightless.Order()]);

        void Invalid(InvalidRowException error)
        {
            if (!skipInvalid)
                throw new InvalidOperationException($"{error.Message.TrimEnd('.')}. Correct or remove the row, or set Options.InvalidRows to Skip.", error.InnerException);
            skipped++;
            firstReason ??= error.Message;
        }
    }
}
