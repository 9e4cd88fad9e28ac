using System.Buffers.Binary;
using System.IO.Compression;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.Trainers;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>ML.NET's softmax head (maximum-entropy model) with the user's classes, the last part of the saved chain.</summary>
/// <remarks>
/// <para>
/// <c>Model.Load</c> can create only ML.NET's own transformers. The one that adds Score and PredictedLabel with
/// all annotations that ML.NET's tools expect is the maximum-entropy predictor: its scores are softmax(W x + b). With the
/// identity as W and b = 0, they are the softmax of the logits.
/// </para>
/// <para>
/// The predictor has no public constructor, and training one takes time and memory that grow with the square of the number of
/// classes. So one of two classes is trained and saved, the weights and the schema in the saved file are replaced, and the
/// result is loaded. Source of the file's layout: ModelHeader and LinearMulticlassModelParametersBase of ML.NET. Later versions
/// of ML.NET read the version that is written here.
/// </para>
/// </remarks>
internal static class StockHead
{
    /// <summary>Version of the layout of the weights that <see cref="IdentityWeights"/> writes.</summary>
    private const uint WrittenVersion = 0x00010003, ReadableVersion = 0x00010001;

    /// <summary>Creates the head.</summary>
    /// <param name="label">The user's label column: a key of UInt32.</param>
    /// <param name="featureName">Name of the head's input column: Vector&lt;Single, 1, classes&gt;.</param>
    /// <param name="classes">Number of classes, at least 2.</param>
    /// <returns>The transformer that reads the logits column and adds Score and PredictedLabel.</returns>
    /// <exception cref="NotSupportedException">This version of ML.NET writes or reads its models in another way.</exception>
    public static ITransformer Create(DataViewSchema.Column label, string featureName, int classes)
    {
        var context = new MLContext(seed: 1);
        using var trained = new MemoryStream();
        context.Model.Save(Train(context, label.Name, featureName), Schema(label.Name, label, featureName, classes), trained);
        try
        {
            using var replaced = new MemoryStream();
            Replace(trained, replaced, IdentityWeights(classes));
            replaced.Position = 0;
            var head = (MulticlassPredictionTransformer<MaximumEntropyModelParameters>)context.Model.Load(replaced, out _);
            Check(head.Model, classes);
            return head;
        }
        catch (Exception error) when (error is FormatException or InvalidOperationException or InvalidDataException or InvalidCastException or EndOfStreamException or ArgumentException)
        {
            throw new NotSupportedException("This version of ML.NET saves maximum-entropy models in another way, so the model cannot be saved as ML.NET's own transformers. Use the ML.NET version that this library was built for, or ExportToOnnx.", error);
        }
    }

    private static ITransformer Train(MLContext context, string labelName, string featureName)
    {
        TwoRows rows = new(Schema(labelName, null, featureName, TwoRows.Count));
        return context.MulticlassClassification.Trainers.LbfgsMaximumEntropy(new LbfgsMaximumEntropyMulticlassTrainer.Options
        {
            LabelColumnName = labelName,
            FeatureColumnName = featureName,
            MaximumNumberOfIterations = 1,
            NumberOfThreads = 1,
        }).Fit(rows);
    }

    /// <summary>The schema of the head's training data.</summary>
    /// <param name="labelName">Name of the label column.</param>
    /// <param name="label">Type and key values of the label; null for a key without values.</param>
    /// <param name="featureName">Name of the feature column.</param>
    /// <param name="classes">Number of classes.</param>
    private static DataViewSchema Schema(string labelName, DataViewSchema.Column? label, string featureName, int classes)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(labelName, label?.Type ?? new KeyDataViewType(typeof(uint), classes), label?.Annotations);
        builder.AddColumn(featureName, new VectorDataViewType(NumberDataViewType.Single, 1, classes));
        return builder.ToSchema();
    }

    /// <summary>Copies a saved predictor with other weights, and with the schema that it was saved with in place of that of its training data.</summary>
    private static void Replace(Stream trained, Stream replaced, byte[] weights)
    {
        using var source = new ZipArchive(trained, ZipArchiveMode.Read, leaveOpen: true);
        using var target = new ZipArchive(replaced, ZipArchiveMode.Create, leaveOpen: true);
        foreach (var entry in source.Entries)
        {
            byte[] content = entry.FullName.Replace('\\', '/') switch
            {
                "TransformerChain/TrainSchema" => Read(source.GetEntry("Schema") ?? throw new InvalidDataException("The model was saved without a schema.")),
                "TransformerChain/Model/Model.key" => ReplaceBlock(Read(entry), weights),
                _ => Read(entry),
            };
            using var written = target.CreateEntry(entry.FullName, CompressionLevel.NoCompression).Open();
            written.Write(content);
        }
    }

    private static byte[] Read(ZipArchiveEntry entry)
    {
        using var content = new MemoryStream();
        using (var stream = entry.Open())
            stream.CopyTo(content);
        return content.ToArray();
    }

    /// <summary>Replaces the block of a model file, which lies between its header and its strings.</summary>
    private static byte[] ReplaceBlock(byte[] file, byte[] block)
    {
        // Positions of the fields of the header. The positions that it contains count from its start.
        const int BlockPosition = 0x10, BlockLength = 0x18, Written = 0x48, Readable = 0x4C;
        int[] positionsAfterBlock = [0x20, 0x30, 0x80, 0x88, 0x90];
        int start = checked((int)BinaryPrimitives.ReadInt64LittleEndian(file.AsSpan(BlockPosition)));
        int end = checked(start + (int)BinaryPrimitives.ReadInt64LittleEndian(file.AsSpan(BlockLength)));
        byte[] result = [.. file.AsSpan(0, start), .. block, .. file.AsSpan(end)];
        BinaryPrimitives.WriteInt64LittleEndian(result.AsSpan(BlockLength), block.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(result.AsSpan(Written), WrittenVersion);
        BinaryPrimitives.WriteUInt32LittleEndian(result.AsSpan(Readable), ReadableVersion);
        foreach (int field in positionsAfterBlock)
        {
            long position = BinaryPrimitives.ReadInt64LittleEndian(file.AsSpan(field));
            if (position != 0)
                BinaryPrimitives.WriteInt64LittleEndian(result.AsSpan(field), position + block.Length - (end - start));
        }
        return result;
    }

    /// <summary>Writes the block of a predictor whose weights are the identity, in the sparse layout, and whose biases are 0.</summary>
    private static byte[] IdentityWeights(int classes)
    {
        using var block = new MemoryStream();
        using var writer = new BinaryWriter(block);
        writer.Write(sizeof(float));
        writer.Write(classes); // features
        writer.Write(classes);
        writer.Write(new byte[classes * sizeof(float)]); // biases
        writer.Write(classes + 1); // number of row starts
        for (int i = 0; i <= classes; i++)
            writer.Write(i);
        writer.Write(classes); // number of columns of weights
        for (int i = 0; i < classes; i++)
            writer.Write(i);
        writer.Write(classes); // number of weights
        for (int i = 0; i < classes; i++)
            writer.Write(1f);
        return block.ToArray();
    }

    private static void Check(MaximumEntropyModelParameters model, int classes)
    {
        VBuffer<float>[]? weights = null;
        model.GetWeights(ref weights!, out int modelClasses);
        bool isIdentity = modelClasses == classes && model.GetBiases().All(bias => bias == 0)
            && weights.Take(classes).Index().All(row => row.Item.Length == classes && row.Item.Items().All(weight => weight.Value == (weight.Key == row.Index ? 1 : 0)) && row.Item.GetItemOrDefault(row.Index) == 1);
        if (!isIdentity)
            throw new InvalidDataException("The weights that were loaded are not the identity.");
    }

    /// <summary>Two rows, one of each class.</summary>
    private sealed class TwoRows(DataViewSchema schema) : IDataView
    {
        public const int Count = 2;

        public DataViewSchema Schema => schema;

        public bool CanShuffle => false;

        public long? GetRowCount() => Count;

        public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null) => new Cursor(schema);

        public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) => [new Cursor(schema)];

        private sealed class Cursor(DataViewSchema schema) : DataViewRowCursor
        {
            private long _position = -1;

            public override DataViewSchema Schema => schema;

            public override long Position => _position;

            public override long Batch => 0;

            public override bool IsColumnActive(DataViewSchema.Column column) => true;

            public override bool MoveNext()
            {
                _position = _position + 1 < Count ? _position + 1 : -1;
                return _position >= 0;
            }

            public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) => id = new DataViewRowId((ulong)_position, 0);

            public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => (ValueGetter<TValue>)(column.Index == 0
                ? (Delegate)(ValueGetter<uint>)((ref uint value) => value = (uint)_position + 1)
                : (ValueGetter<VBuffer<float>>)((ref VBuffer<float> value) => value = new VBuffer<float>(Count, _position == 0 ? [1, 0] : [0, 1])));
        }
    }
}
