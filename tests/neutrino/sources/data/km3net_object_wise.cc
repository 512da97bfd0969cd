// Writes km3net_object_wise.root: frames of a real file of km3net-testdata (MIT), stored object by object.
//
//     root -l -b -q 'km3net_object_wise.cc+("<...>/online/KM3NeT_00000267_00025291_SN.root")'
//
// ROOT's own streamers do the writing (made with ROOT 6.40). The classes have the members, versions and
// checksums that the streamer infos of the real file tell, which is checked below. Four of them have
// streamers written by hand that write their members and nothing else, as bytes of real files show:
// - JDAQPreamble: its branch holds length and type, 8 bytes;
// - JDAQModuleIdentifier and JDAQHit: an item of snapshotHits is of 4 + 6 bytes;
// - JDAQFrameStatus: an item of a summary slice is of 4 + 20 + 31 bytes.
// The others have those that ROOT generates: of a class with a streamer written by hand it stores no vector
// member by member, as it does that of JDAQSuperFrame, nor does it split the class, as it does
// JDAQSuperFrameHeader and JDAQFrame.

#include <TBasket.h>
#include <TBranch.h>
#include <TBuffer.h>
#include <TError.h>
#include <TFile.h>
#include <TObject.h>
#include <TStreamerInfo.h>
#include <TTree.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace KM3NETDAQ {

struct JDAQUTCExtended {
   virtual ~JDAQUTCExtended() = default;
   UInt_t UTC_seconds = 0, UTC_16nanosecondcycles = 0;
   ClassDef(JDAQUTCExtended, 1)
};

struct JDAQChronometer {
   virtual ~JDAQChronometer() = default;
   Int_t detector_id = 0, run = 0, frame_index = 0;
   JDAQUTCExtended timeslice_start;
   ClassDef(JDAQChronometer, 3)
};

struct JDAQHeader : JDAQChronometer { ClassDef(JDAQHeader, 2) };
struct JDAQTimesliceHeader : JDAQHeader { ClassDef(JDAQTimesliceHeader, 2) };

struct JDAQAbstractPreamble {
   Int_t length = 0, type = 0;
   ClassDefNV(JDAQAbstractPreamble, 1)
};

struct JDAQPreamble : JDAQAbstractPreamble, TObject { ClassDef(JDAQPreamble, 1) };

struct JDAQModuleIdentifier {
   virtual ~JDAQModuleIdentifier() = default;
   Int_t id = 0;
   ClassDef(JDAQModuleIdentifier, 1)
};

struct JDAQFrameStatus {
   virtual ~JDAQFrameStatus() = default;
   Int_t daq = 0, status = 0, fifo = 0, status_3 = 0, status_4 = 0;
   ClassDef(JDAQFrameStatus, 1)
};

struct JDAQSuperFrameHeader : JDAQHeader, JDAQModuleIdentifier, JDAQFrameStatus {
   ClassDef(JDAQSuperFrameHeader, 2)
};

#pragma pack(push, 1)
struct JDAQHit {
   UChar_t pmt = 0;
   UInt_t tdc = 0;
   UChar_t tot = 0;
   ClassDefNV(JDAQHit, 2)
};
#pragma pack(pop)

struct JDAQFrame {
   JDAQFrame() = default;
   JDAQFrame(const JDAQFrame &other) { *this = other; }
   JDAQFrame &operator=(const JDAQFrame &other)
   {
      std::vector<JDAQHit> hits(other.buffer, other.buffer + (other.buffer ? other.numberOfHits : 0));
      delete[] buffer;
      buffer = hits.empty() ? nullptr : new JDAQHit[hits.size()];
      std::copy(hits.begin(), hits.end(), buffer);
      numberOfHits = other.numberOfHits;
      return *this;
   }
   virtual ~JDAQFrame() { delete[] buffer; }
   Int_t numberOfHits = 0;
   JDAQHit *buffer = nullptr; //[numberOfHits]
   ClassDef(JDAQFrame, 1)
};

struct JDAQSuperFrame : JDAQPreamble, JDAQSuperFrameHeader, JDAQFrame { ClassDef(JDAQSuperFrame, 3) };

struct JDAQTimeslice : JDAQPreamble, JDAQTimesliceHeader, std::vector<JDAQSuperFrame> {
   ClassDef(JDAQTimeslice, 4)
};
struct JDAQTimesliceL1 : JDAQTimeslice { ClassDef(JDAQTimesliceL1, 1) };
struct JDAQTimesliceSN : JDAQTimeslice { ClassDef(JDAQTimesliceSN, 1) };

} // namespace KM3NETDAQ

#ifdef __ROOTCLING__
#pragma link off all classes;
#pragma link C++ class KM3NETDAQ::JDAQUTCExtended+;
#pragma link C++ class KM3NETDAQ::JDAQChronometer+;
#pragma link C++ class KM3NETDAQ::JDAQHeader+;
#pragma link C++ class KM3NETDAQ::JDAQTimesliceHeader+;
#pragma link C++ class KM3NETDAQ::JDAQAbstractPreamble+;
#pragma link C++ class KM3NETDAQ::JDAQPreamble-;
#pragma link C++ class KM3NETDAQ::JDAQModuleIdentifier-;
#pragma link C++ class KM3NETDAQ::JDAQFrameStatus-;
#pragma link C++ class KM3NETDAQ::JDAQSuperFrameHeader+;
#pragma link C++ class KM3NETDAQ::JDAQHit-;
#pragma link C++ class KM3NETDAQ::JDAQFrame+;
#pragma link C++ class KM3NETDAQ::JDAQSuperFrame+;
#pragma link C++ class std::vector<KM3NETDAQ::JDAQSuperFrame>+;
#pragma link C++ class KM3NETDAQ::JDAQTimeslice+;
#pragma link C++ class KM3NETDAQ::JDAQTimesliceL1+;
#pragma link C++ class KM3NETDAQ::JDAQTimesliceSN+;
#endif

using namespace KM3NETDAQ;

void JDAQPreamble::Streamer(TBuffer &buffer)
{
   if (buffer.IsReading())
      buffer >> length >> type;
   else
      buffer << length << type;
}

void JDAQModuleIdentifier::Streamer(TBuffer &buffer)
{
   if (buffer.IsReading())
      buffer >> id;
   else
      buffer << id;
}

void JDAQFrameStatus::Streamer(TBuffer &buffer)
{
   if (buffer.IsReading())
      buffer >> daq >> status >> fifo >> status_3 >> status_4;
   else
      buffer << daq << status << fifo << status_3 << status_4;
}

void JDAQHit::Streamer(TBuffer &buffer)
{
   if (buffer.IsReading())
      buffer.ReadFastArray(reinterpret_cast<UChar_t *>(this), sizeof(JDAQHit));
   else
      buffer.WriteFastArray(reinterpret_cast<UChar_t *>(this), sizeof(JDAQHit));
}

namespace {

void check(bool ok, const char *what)
{
   if (!ok) {
      Error("km3net_object_wise", "%s", what);
      std::exit(1);
   }
}

// The classes must be those of the real file: the same versions and checksums.
void check_classes(TFile &real)
{
   const char *names[] = {"UTCExtended",     "Chronometer",      "Header", "TimesliceHeader",
                          "AbstractPreamble", "Preamble",         "Frame",  "ModuleIdentifier",
                          "FrameStatus",     "SuperFrameHeader", "Hit",    "SuperFrame",
                          "Timeslice",       "TimesliceL1",      "TimesliceSN"};
   TList *infos = real.GetStreamerInfoList();
   for (const char *name : names) {
      TString full = TString("KM3NETDAQ::JDAQ") + name;
      auto *info = static_cast<TStreamerInfo *>(infos->FindObject(full));
      TClass *ours = TClass::GetClass(full);
      check(info && info->GetClassVersion() == ours->GetClassVersion(), full);
      check(info->GetCheckSum() == ours->GetCheckSum(), full);
   }
}

// The hits of a slice stored member by member are the last bytes of its entry. ROOT 6.40 does not read them.
void take_hits(TBranch &branch, Long64_t entry, JDAQTimeslice &slice)
{
   Int_t number = 0;
   while (branch.GetBasketEntry()[number + 1] <= entry && number + 1 < branch.GetWriteBasket())
      ++number;
   TBasket *basket = branch.GetBasket(number);
   const Long64_t place = entry - branch.GetBasketEntry()[number];
   const bool last = place == basket->GetNevBuf() - 1;
   const char *end = basket->GetBufferRef()->Buffer() +
                     (last ? basket->GetLast() : basket->GetEntryOffset()[place + 1]);
   for (auto frame = slice.rbegin(); frame != slice.rend(); ++frame) {
      end -= frame->numberOfHits * sizeof(JDAQHit);
      delete[] frame->buffer;
      frame->buffer = frame->numberOfHits ? new JDAQHit[frame->numberOfHits] : nullptr;
      if (frame->buffer)
         std::memcpy(frame->buffer, end, frame->numberOfHits * sizeof(JDAQHit));
   }
}

template <class T>
void write(const char *tree_name, const char *name, int split, const std::vector<JDAQTimeslice> &slices)
{
   TTree tree(tree_name, tree_name);
   T slice;
   // not packed, so that tests can change bytes
   tree.Branch(name, &slice, 32000, split)->SetCompressionSettings(0);
   for (const auto &one : slices) {
      static_cast<JDAQTimeslice &>(slice) = one;
      tree.Fill();
   }
   tree.Write();
}

} // namespace

void km3net_object_wise(const char *path)
{
   const Long64_t entries[] = {0, 50, 51}; // the first has no frames
   const std::size_t most = 12;            // frames of each

   TFile real(path);
   check(!real.IsZombie(), "no such file");
   check_classes(real);
   auto *tree = real.Get<TTree>("KM3NET_TIMESLICE_SN");
   auto *slice = new JDAQTimesliceSN;
   tree->SetBranchAddress("km3net_timeslice_SN", &slice);
   std::vector<JDAQTimeslice> slices;
   for (Long64_t entry : entries) {
      gErrorIgnoreLevel = kFatal;
      tree->GetEntry(entry);
      gErrorIgnoreLevel = kInfo;
      take_hits(*tree->GetBranch("vector<KM3NETDAQ::JDAQSuperFrame>"), entry, *slice);
      if (slice->size() > most)
         slice->resize(most);
      slices.push_back(*slice);
   }

   TVirtualStreamerInfo::SetStreamMemberWise(kFALSE);
   TFile made("km3net_object_wise.root", "RECREATE", "", 109);
   write<JDAQTimesliceSN>("KM3NET_TIMESLICE_SN", "km3net_timeslice_SN", 2, slices); // header split
   write<JDAQTimeslice>("KM3NET_TIMESLICE", "KM3NET_TIMESLICE", 1, slices);         // header one object
   write<JDAQTimesliceL1>("KM3NET_TIMESLICE_L1", "km3net_timeslice_L1", 0, slices); // slice one object
}
